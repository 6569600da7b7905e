"""Time series of components: how far corrosion has come since T0, and how sure that is."""
