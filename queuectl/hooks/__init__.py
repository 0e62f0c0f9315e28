"""How the message of a hook goes out: by webhook, by mail, into a command."""
