-- pai preflight
return require("pai.cli.component_action").command("preflight")
