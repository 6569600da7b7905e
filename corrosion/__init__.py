"""Follow components over time: how far corrosion has come since T0, and how certain the figures are."""
