"""Pages of the vendor workspace. Each view parses, authorises, makes one service call and renders."""
