"""Extensions that come with Flotilla. Each is a module of its own that a bot may leave out (`BotConfig.without`)."""
