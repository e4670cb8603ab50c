"""From sources by assembly to the store: what each kind of builder needs to be followed."""
