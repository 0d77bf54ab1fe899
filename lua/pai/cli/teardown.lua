-- pai teardown
return require("pai.cli.component_action").command("teardown")
