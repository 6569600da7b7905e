"""Settings, files and errors: what every other package builds on."""
