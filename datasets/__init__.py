"""Which files, which labels, which masks: knows folder layouts, opens no model."""
