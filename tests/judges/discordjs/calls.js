// What the bot can be told to do, by the calls' names.
import { AttachmentBuilder } from "discord.js";
import { COMMANDS, HERE } from "./commands.js";
import { shown } from "./telling.js";

const channel = (client, { channel_id }) => client.channels.fetch(channel_id);
const guild = (client, { guild_id }) => client.guilds.cache.get(guild_id);
const names = (members) => members.map((member) => member.user.username);

export const calls = {
  async sync(client, { guild_id }) {
    const made = await client.application.commands.set(guild_id ? HERE : COMMANDS, guild_id);
    return made.map((command) => command.name);
  },
  async send(client, { content, embed, ...where }) {
    return shown(await (await channel(client, where)).send({ content, embeds: embed ? [embed] : [] }));
  },
  async attach(client, { filename, text, ...where }) {
    const file = new AttachmentBuilder(Buffer.from(text), { name: filename });
    return shown(await (await channel(client, where)).send({ files: [file] }));
  },
  async detach(client, { message_id, ...where }) {
    const change = { content: "gone", attachments: [] };
    return shown(await (await channel(client, where)).messages.edit(message_id, change));
  },
  async reply(client, { message_id, content, ...where }) {
    const change = { content, reply: { messageReference: message_id } };
    return shown(await (await channel(client, where)).send(change));
  },
  async edit(client, { message_id, content, ...where }) {
    return shown(await (await channel(client, where)).messages.edit(message_id, content));
  },
  async fetch(client, { message_id, ...where }) {
    const wanted = { message: message_id, force: true, cache: false };
    return shown(await (await channel(client, where)).messages.fetch(wanted));
  },
  async history(client, { limit, ...where }) {
    return (await (await channel(client, where)).messages.fetch({ limit })).map(shown);
  },
  async delete(client, { message_id, ...where }) {
    await (await channel(client, where)).messages.delete(message_id);
    return null;
  },
  async delete_many(client, { message_ids, ...where }) {
    await (await channel(client, where)).bulkDelete(message_ids);
    return null;
  },
  async burst(client, { count, ...where }) {
    const there = await channel(client, where);
    const sent = await Promise.all(Array.from({ length: count }, (_, number) => there.send(`message ${number}`)));
    return sent.map((message) => message.content);
  },
  // Make a webhook, use it, and delete it; tell of each step what came of it.
  async webhook(client, where) {
    const there = await channel(client, where);
    const hook = await there.createWebhook({ name: "news", reason: "there is news" });
    const listed = (await there.fetchWebhooks()).map(({ name }) => name);
    const sent = await hook.send({ content: "extra", username: "paper" });
    const edited = await hook.editMessage(sent, "extra, extra");
    const fetched = await hook.fetchMessage(sent.id);
    await hook.deleteMessage(sent);
    const renamed = (await hook.edit({ name: "old news" })).name;
    await hook.delete();
    const left = (await there.fetchWebhooks()).map(({ name }) => name);
    return [listed, shown(sent), edited.content, fetched.content, renamed, left];
  },
  // Fetch the names of all members by REST.
  async members(client, where) {
    const found = [];
    for (let after; ;) {
      const page = await guild(client, where).members.list({ limit: 1000, after, cache: false });
      found.push(...names(page));
      if (page.size < 1000) return found;
      after = page.lastKey();
    }
  },
  // Fetch the names of all members by the gateway.
  async chunks(client, where) {
    return names(await guild(client, where).members.fetch());
  },
  // Fetch the names of members that begin so, by the gateway.
  async query(client, { start, limit, ...where }) {
    return names(await guild(client, where).members.fetch({ query: start, limit }));
  },
};
