// A bot made with discord.js, unchanged but for the address: it is told what to do, and tells, in lines of JSON.
// Run as `node bot.js '{"url": …, "token": …}'`; ../discordpy/bot.py says what goes in and out.
import { createInterface } from "node:readline";
import {
  ActionRowBuilder, AttachmentBuilder, ButtonBuilder, ButtonStyle, Client, Events, GatewayIntentBits, MessageFlags,
  ModalBuilder, SlashCommandBuilder, StringSelectMenuBuilder, TextInputBuilder, TextInputStyle,
} from "discord.js";

const { url, token } = JSON.parse(process.argv[2]);
const WORDS = ["apple", "apricot", "banana"];

const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const failed = (error) => tell({ event: "failed", message: String(error?.stack ?? error) });
const shown = (message) => ({
  id: message.id,
  content: message.content,
  embeds: message.embeds.map(({ title, description }) => ({ title, description })),
  attachments: message.attachments.map(({ name, size }) => ({ filename: name, size })),
});

const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages],
  rest: { api: `${url}/api` },
});

const slash = (name, description) => new SlashCommandBuilder().setName(name).setDescription(description);
const COMMANDS = [
  slash("echo", "Says it again")
    .addStringOption((option) => option.setName("text").setDescription("What to say").setRequired(true))
    .addIntegerOption((option) => option.setName("times").setDescription("How often").setMinValue(1).setMaxValue(3))
    .addBooleanOption((option) => option.setName("loud").setDescription("In capitals")),
  slash("later", "Takes its time"),
  slash("secret", "Tells only you"),
  slash("panel", "Shows a button and a menu"),
  slash("ask", "Asks with a form"),
  slash("find", "Finds a word").addStringOption((option) =>
    option.setName("word").setDescription("Which").setRequired(true).setAutocomplete(true)),
  slash("upload", "Takes a file and gives it back").addAttachmentOption((option) =>
    option.setName("file").setDescription("Which").setRequired(true)),
];
const HERE = [slash("here", "Is only in this guild")];

const commands = {
  async echo(interaction) {
    const text = interaction.options.getString("text");
    const said = Array(interaction.options.getInteger("times") ?? 1).fill(text).join(" ");
    await interaction.reply(interaction.options.getBoolean("loud") ? said.toUpperCase() : said);
  },
  async later(interaction) {
    await interaction.deferReply();
    await interaction.editReply({ content: "done", embeds: [{ title: "Result" }] });
    await interaction.followUp("and more");
    tell({ event: "original", ...shown(await interaction.fetchReply()) });
  },
  async secret(interaction) {
    await interaction.reply({ content: "psst", flags: MessageFlags.Ephemeral });
  },
  async panel(interaction) {
    const button = new ButtonBuilder().setCustomId("press").setLabel("Press").setStyle(ButtonStyle.Primary);
    const menu = new StringSelectMenuBuilder().setCustomId("choose").setMaxValues(2)
      .addOptions(WORDS.map((word) => ({ label: word, value: word })));
    const rows = [button, menu].map((component) => new ActionRowBuilder().addComponents(component));
    await interaction.reply({ content: "panel", components: rows });
  },
  async ask(interaction) {
    const answer = new TextInputBuilder().setCustomId("answer").setLabel("Answer").setStyle(TextInputStyle.Short)
      .setMaxLength(100);
    const modal = new ModalBuilder().setCustomId("question").setTitle("Question")
      .addComponents(new ActionRowBuilder().addComponents(answer));
    await interaction.showModal(modal);
  },
  async find(interaction) {
    await interaction.reply(`found: ${interaction.options.getString("word")}`);
  },
  async upload(interaction) {
    const file = interaction.options.getAttachment("file");
    const content = Buffer.from(await (await fetch(file.url)).arrayBuffer());
    const again = new AttachmentBuilder(content, { name: file.name });
    await interaction.reply({ content: `${file.name}, ${file.size} bytes`, files: [again] });
  },
  async here(interaction) {
    await interaction.reply(`in ${interaction.guildId}`);
  },
};

async function component(interaction) {
  tell({ event: "component", custom_id: interaction.customId, values: interaction.values ?? [] });
  if (interaction.isButton()) await interaction.update("pressed");
  else await interaction.reply({ content: `chosen: ${interaction.values.join(", ")}`, flags: MessageFlags.Ephemeral });
}

async function interacted(interaction) {
  if (interaction.isChatInputCommand()) {
    tell({ event: "command", name: interaction.commandName });
    await commands[interaction.commandName](interaction);
  } else if (interaction.isAutocomplete()) {
    const found = WORDS.filter((word) => word.startsWith(interaction.options.getFocused()));
    await interaction.respond(found.map((word) => ({ name: word, value: word })));
  } else if (interaction.isModalSubmit()) {
    await interaction.reply(`answered: ${interaction.fields.getTextInputValue("answer")}`);
  } else {
    await component(interaction);
  }
}

const channel = (id) => client.channels.fetch(id);
const calls = {
  async sync({ guild_id }) {
    const made = await client.application.commands.set(guild_id ? HERE : COMMANDS, guild_id);
    return made.map((command) => command.name);
  },
  async send({ channel_id, content, embed }) {
    return shown(await (await channel(channel_id)).send({ content, embeds: embed ? [embed] : [] }));
  },
  async attach({ channel_id, filename, text }) {
    const file = new AttachmentBuilder(Buffer.from(text), { name: filename });
    return shown(await (await channel(channel_id)).send({ files: [file] }));
  },
  async edit({ channel_id, message_id, content }) {
    return shown(await (await channel(channel_id)).messages.edit(message_id, content));
  },
  async fetch({ channel_id, message_id }) {
    return shown(await (await channel(channel_id)).messages.fetch({ message: message_id, force: true, cache: false }));
  },
  async history({ channel_id, limit }) {
    return (await (await channel(channel_id)).messages.fetch({ limit })).map(shown);
  },
  async delete({ channel_id, message_id }) {
    await (await channel(channel_id)).messages.delete(message_id);
    return null;
  },
  async burst({ channel_id, count }) {
    const there = await channel(channel_id);
    const sent = await Promise.all(Array.from({ length: count }, (_, number) => there.send(`message ${number}`)));
    return sent.map((message) => message.content);
  },
};

async function answer(line) {
  const { id, do: name, ...call } = JSON.parse(line);
  try {
    tell({ id, result: await calls[name](call) });
  } catch (error) {
    tell({ id, error: String(error?.stack ?? error) });
  }
}

client.on(Events.ClientReady, () =>
  tell({ event: "ready", user_id: client.user.id, guilds: [...client.guilds.cache.keys()] }));
client.on(Events.ShardResume, () => tell({ event: "resumed" }));
client.on(Events.MessageCreate, (message) => tell({ event: "message", ...shown(message) }));
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
