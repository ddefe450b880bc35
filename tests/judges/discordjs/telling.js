// The lines the bot tells, and how messages look in them.
export const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
export const failed = (error) => tell({ event: "failed", message: String(error?.stack ?? error) });
export const shown = (message) => ({
  id: message.id,
  author: message.author.username,
  content: message.content,
  embeds: message.embeds.map(({ title, description }) => ({ title, description })),
  attachments: message.attachments.map(({ name, size }) => ({ filename: name, size })),
  mentions: [...message.mentions.users.keys()],
  reference: message.reference?.messageId ?? null,
});
