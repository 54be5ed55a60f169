"""Everything that writes work in progress. Each function is one act of one person or one worker."""
