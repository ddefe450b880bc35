"""Extensions that every bot of the fleet has."""
