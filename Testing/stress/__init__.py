"""Files that are broken at random: each is read, or refused in one sentence."""
