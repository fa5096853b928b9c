"""Define the commands, a module each: parse the options, make one call, render its result."""
