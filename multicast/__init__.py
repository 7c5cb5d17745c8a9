"""One file to many receivers without a reply: ALC/LCT, FLUTE and RaptorQ. Knows nothing of the dispatcher."""
