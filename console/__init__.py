"""The inspection console: a page, a REST service and a history of every inspection."""
