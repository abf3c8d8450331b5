"""Files of a shop, as shops write them: checked in a scratch database, then written into the store."""
