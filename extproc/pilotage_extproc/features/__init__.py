"""What a prompt's text tells of it: topic, gain of a stronger model, language, code, keywords."""
