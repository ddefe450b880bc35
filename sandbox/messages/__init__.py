"""Messages and what hangs on them: rules, components, attachments, webhooks."""
