"""What a bot's users read from Flotilla itself; all of it is here. `{reference}` is what operators search for."""

FAILED = "Sorry, something went wrong here. If it happens again, tell the people behind this bot: `{reference}`"
UNANSWERED = "Sorry, this was not finished. If it happens again, tell the people behind this bot: `{reference}`"
TOO_LATE_FOR_MODAL = "Sorry, that took too long, so the form cannot be shown. Please try again. (`{reference}`)"
RESTARTED = "Sorry, this bot was just restarted before it could finish. Please try again. (`{reference}`)"
