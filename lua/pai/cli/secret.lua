-- pai secret: where secrets come from, and setting them without showing them.
local M = {
  name = "secret",
  summary = "set, list, check and remove secrets; never shows one",
  usage = "list|set|check|rm ...",
  doc = [[
The value of a secret input is taken from the first of these that has it:

  1. the source that the command line names: NAME=env:VARIABLE, file:PATH,
     dotenv:PATH#VARIABLE, docker:REGISTRY, osmo:refresh_token, osmo:id_token,
     osmo:STORAGE-URI, settings:VARIABLE, store:VARIABLE; - is standard input
  2. the environment variable that the input names (env = ...)
  3. .env at the root of the git work tree: read, never executed; it must have
     mode 0600 and be ignored by git
  4. settings.yaml, by the name of the variable
  5. your own store, secrets.env beside it: `pai secret set --user`
  6. a question on the terminal, without echo

]]
    .. "$XDG_CONFIG_HOME/pai/settings.yaml (else ~/.config/pai) says where values are and holds "
    .. "none. Nobody else may be able to write it:\n"
    .. [[

  secrets:
    HF_TOKEN: {command: [pass, show, hf], timeout: 30s}
    NGC_API_KEY: {docker: nvcr.io}
    DB_PASSWORD: {file: ~/.secrets/db}
    OSMO_TOKEN: {osmo: refresh_token}
    NGC_CLI_API_KEY: {env: NGC_API_KEY}

]]
    .. "A command gets your environment and no standard input; what it prints, less one line end, "
    .. "is the value. A Docker credential comes from the helper that Docker's config.json names, "
    .. "else from its auths. Files must be readable by you only. A journal keeps the name of the "
    .. "source, and a resumed run opens it again.",
  examples = {
    { "pai secret set HF_TOKEN", "asks without echo, writes .env of this work tree" },
    { "pass show hf | pai secret set HF_TOKEN --user", "into the store of your own" },
    { "pai secret check vda", "is everything there that the recipe wants?" },
  },
}

M.commands = {
  require("pai.cli.secret_list"),
  require("pai.cli.secret_set"),
  require("pai.cli.secret_check"),
  (require("pai.cli.secret_rm")),
}

return M
