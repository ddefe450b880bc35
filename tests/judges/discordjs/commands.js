// What users can use: slash commands, context menus, a panel of buttons and menus, a form.
import {
  ActionRowBuilder, ApplicationCommandType, AttachmentBuilder, ButtonBuilder, ButtonStyle, ContextMenuCommandBuilder,
  DiscordAPIError, MessageFlags, ModalBuilder, SlashCommandBuilder, StringSelectMenuBuilder, TextInputBuilder,
  TextInputStyle, UserSelectMenuBuilder,
} from "discord.js";
import { shown, tell } from "./telling.js";

const WORDS = ["apple", "apricot", "banana"];
const ACTIONS = ["kick", "ban", "unban", "timeout", "give", "take"];

const slash = (name, description) => new SlashCommandBuilder().setName(name).setDescription(description);
const menu = (name, type) => new ContextMenuCommandBuilder().setName(name).setType(type);
export const COMMANDS = [
  slash("echo", "Says it again")
    .addStringOption((option) => option.setName("text").setDescription("What to say").setRequired(true))
    .addIntegerOption((option) => option.setName("times").setDescription("How often").setMinValue(1).setMaxValue(3))
    .addBooleanOption((option) => option.setName("loud").setDescription("In capitals")),
  slash("later", "Takes its time"),
  slash("secret", "Tells only you"),
  slash("panel", "Shows buttons and menus"),
  slash("ask", "Asks with a form"),
  slash("find", "Finds a word").addStringOption((option) =>
    option.setName("word").setDescription("Which").setRequired(true).setAutocomplete(true)),
  slash("upload", "Takes a file, gives it back, and takes it away again")
    .addAttachmentOption((option) => option.setName("file").setDescription("Which").setRequired(true))
    .addBooleanOption((option) => option.setName("away").setDescription("Whether to take it away again")),
  slash("moderate", "Keeps order")
    .addStringOption((option) => option.setName("action").setDescription("How").setRequired(true)
      .addChoices(ACTIONS.map((name) => ({ name, value: name }))))
    .addUserOption((option) => option.setName("member").setDescription("Whom").setRequired(true))
    .addRoleOption((option) => option.setName("role").setDescription("Which")),
  menu("Greet", ApplicationCommandType.User),
  menu("Quote", ApplicationCommandType.Message),
];
export const HERE = [slash("here", "Is only in this guild")];

function question() {
  const answer = new TextInputBuilder().setCustomId("answer").setLabel("Answer").setStyle(TextInputStyle.Short)
    .setMaxLength(100);
  return new ModalBuilder().setCustomId("question").setTitle("Question")
    .addComponents(new ActionRowBuilder().addComponents(answer));
}

function panel() {
  const button = (id, label) =>
    new ButtonBuilder().setCustomId(id).setLabel(label).setStyle(ButtonStyle.Primary);
  const buttons = [button("press", "Press"), button("slow", "Slow"), button("form", "Form")];
  const words = new StringSelectMenuBuilder().setCustomId("choose").setMaxValues(2)
    .addOptions(WORDS.map((word) => ({ label: word, value: word })));
  const users = new UserSelectMenuBuilder().setCustomId("pick").setMaxValues(2);
  return [buttons, [words], [users]].map((row) => new ActionRowBuilder().addComponents(row));
}

const keepOrder = {
  kick: ({ member }) => member.kick("for order's sake"),
  ban: ({ member }) => member.ban({ reason: "for order's sake" }),
  unban: ({ guild, user }) => guild.members.unban(user, "forgiven"),
  timeout: ({ member }) => member.timeout(5 * 60_000, "for order's sake"),
  give: ({ member, role }) => member.roles.add(role, "for order's sake"),
  take: ({ member, role }) => member.roles.remove(role, "for order's sake"),
};

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
    await interaction.reply({ content: "panel", components: panel() });
  },
  async ask(interaction) {
    await interaction.showModal(question());
  },
  async find(interaction) {
    await interaction.reply(`found: ${interaction.options.getString("word")}`);
  },
  async upload(interaction) {
    const file = interaction.options.getAttachment("file");
    const content = Buffer.from(await (await fetch(file.url)).arrayBuffer());
    const again = new AttachmentBuilder(content, { name: file.name });
    await interaction.reply({ content: `${file.name}, ${file.size} bytes`, files: [again] });
    tell({ event: "uploaded", ...shown(await interaction.fetchReply()) });
    if (!interaction.options.getBoolean("away")) return;
    tell({ event: "gone", ...shown(await interaction.editReply({ content: "gone", attachments: [] })) });
  },
  async moderate(interaction) {
    const { guild, options } = interaction;
    const action = options.getString("action");
    const whom = { guild, user: options.getUser("member"), member: options.getMember("member") };
    try {
      await keepOrder[action]({ ...whom, role: options.getRole("role") });
    } catch (error) {
      if (!(error instanceof DiscordAPIError)) throw error;
      await interaction.reply(`${action}: ${error.status === 403 ? "Forbidden" : error.name} ${error.code}`);
      return;
    }
    await interaction.reply(`${action}: done`);
  },
  async Greet(interaction) {
    await interaction.reply(`hello ${interaction.targetUser.username}`);
  },
  async Quote(interaction) {
    await interaction.reply(`${interaction.targetMessage.author.username}: ${interaction.targetMessage.content}`);
  },
  async here(interaction) {
    await interaction.reply(`in ${interaction.guildId}`);
  },
};

const components = {
  async press(interaction) {
    await interaction.update("pressed");
  },
  async slow(interaction) {
    await interaction.deferUpdate();
    await interaction.editReply("took its time");
    tell({ event: "original", ...shown(await interaction.fetchReply()) });
  },
  async form(interaction) {
    await interaction.showModal(question());
  },
  async choose(interaction) {
    await interaction.reply({ content: `chosen: ${interaction.values.join(", ")}`, flags: MessageFlags.Ephemeral });
  },
  async pick(interaction) {
    await interaction.reply(`picked: ${interaction.users.map((user) => user.username).join(", ")}`);
  },
};

export async function interacted(interaction) {
  if (interaction.isCommand()) {
    tell({ event: "command", name: interaction.commandName });
    await commands[interaction.commandName](interaction);
  } else if (interaction.isAutocomplete()) {
    const found = WORDS.filter((word) => word.startsWith(interaction.options.getFocused()));
    await interaction.respond(found.map((word) => ({ name: word, value: word })));
  } else if (interaction.isModalSubmit()) {
    const said = `answered: ${interaction.fields.getTextInputValue("answer")}`;
    await (interaction.isFromMessage() ? interaction.update(said) : interaction.reply(said));
  } else {
    await components[interaction.customId](interaction);
  }
}
