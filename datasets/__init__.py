"""Read data sets: files, labels and masks of any layout. No model is opened here."""
