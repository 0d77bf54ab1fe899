-- pai verify
return require("pai.cli.component_action").command("verify")
