-- pai deploy
return require("pai.cli.component_action").command("deploy")
