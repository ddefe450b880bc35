// A bot made with discord.js, unchanged but for the address: it is told what to do, and tells, in lines of JSON.
// Run as `node bot.js '{"url", "token", "intents"}'`; ../discordpy/bot.py says what goes in and out.
import { createInterface } from "node:readline";
import { Client, Events, GatewayIntentBits, Partials } from "discord.js";
import { calls } from "./calls.js";
import { interacted } from "./commands.js";
import { failed, shown, tell } from "./telling.js";

const { url, token, intents } = JSON.parse(process.argv[2]);
const { Guilds, GuildMessages, GuildModeration, DirectMessages, GuildMembers, MessageContent } = GatewayIntentBits;
const DEFAULT = [Guilds, GuildMessages, GuildModeration, DirectMessages];

const client = new Client({
  intents: intents === "all" ? [...DEFAULT, GuildMembers, MessageContent] : DEFAULT,
  partials: [Partials.Channel], // private channels are not known before their first message
  rest: { api: `${url}/api` },
});

async function heard(message) {
  tell({ event: "message", ...shown(message) });
  if (message.inGuild() || message.author.bot) return;
  await message.reply(`you said: ${message.content}`);
}

function changed(member) {
  const roles = [...member.roles.cache.keys()].filter((id) => id !== member.guild.id);
  const timedOut = member.isCommunicationDisabled();
  tell({ event: "member_changed", name: member.user.username, roles, timed_out: timedOut });
}

async function answer(line) {
  const { id, do: name, ...call } = JSON.parse(line);
  try {
    tell({ id, result: await calls[name](client, call) });
  } catch (error) {
    tell({ id, error: String(error?.stack ?? error) });
  }
}

// ClientReady comes once, ShardReady after each IDENTIFY, as discord.py's on_ready does.
const ready = () => tell({ event: "ready", user_id: client.user.id, guilds: [...client.guilds.cache.keys()] });
client.once(Events.ClientReady, () => {
  ready();
  client.on(Events.ShardReady, ready);
});
client.on(Events.ShardResume, () => tell({ event: "resumed" }));
client.on(Events.MessageCreate, (message) => heard(message).catch(failed));
client.on(Events.MessageBulkDelete, (messages) => tell({ event: "deleted", ids: [...messages.keys()].sort() }));
client.on(Events.GuildCreate, ({ id, memberCount }) =>
  tell({ event: "joined", guild_id: id, member_count: memberCount }));
client.on(Events.GuildDelete, ({ id }) => tell({ event: "left", guild_id: id }));
client.on(Events.GuildMemberAdd, ({ user }) => tell({ event: "member_joined", name: user.username }));
client.on(Events.GuildMemberRemove, ({ user }) => tell({ event: "member_left", name: user.username }));
client.on(Events.GuildMemberUpdate, (_, member) => changed(member));
client.on(Events.GuildBanAdd, ({ user }) => tell({ event: "banned", name: user.username }));
client.on(Events.InteractionCreate, (interaction) => interacted(interaction).catch(failed));
client.on(Events.ShardDisconnect, ({ code }) => tell({ event: "stopped", code }));
client.on(Events.ShardError, (error) => console.error(error));
client.on(Events.Error, failed);
client.on(Events.Warn, failed);

const lines = createInterface({ input: process.stdin });
lines.on("line", answer);
lines.on("close", () => client.destroy());
client.login(token).catch((error) => {
  if (error.code === "TokenInvalid") tell({ event: "stopped", code: 401 });
  else failed(error);
  lines.close();
});
