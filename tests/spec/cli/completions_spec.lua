-- Completion as the three shells do it: each sources what pai prints, and is asked for candidates.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local pai = require("pai")

describe("completion", function()
  local bench

  before_each(function()
    bench = support.new()
    bench:write(
      "recipes/paint.lua",
      [[return { api = 1, name = "paint", title = "Paint", summary = "Paints.", safety = "observes",
        inputs = {
          colour = { type = "enum", values = { "red", "rose" }, default = "red", doc = "Of it." },
          picture = { type = "path", optional = true, doc = "What to paint: a file. Or none." },
          dry = { type = "boolean", default = true, doc = "Says only." },
        },
        steps = { { name = "one", run = function() return {} end } } }]]
    )
    bench:write("recipes/broken.lua", "return {")
    bench:write("picture.png", "")
    assert(fs.mkdir(bench.dir .. "/bin"))
    assert(exec.run({ "ln", "-s", pai.exe, bench.dir .. "/bin/pai" }))
  end)

  after_each(function()
    bench:remove()
  end)

  local function shell(argv, stdin)
    local r = assert(exec.run(argv, {
      cwd = bench.dir,
      env = {
        PATH = bench.dir .. "/bin:" .. os.getenv("PATH"),
        PAI_STATE = bench.state,
        HOME = bench.dir,
        LC_ALL = "C.UTF-8",
        TERM = "xterm",
      },
      stdin = stdin or "null",
      accept = "any",
      timeout = "60s",
    }))
    return r.stdout, r.stderr
  end

  -- Candidates without what they mean.
  local function candidates(...)
    local r = bench:pai({ "__complete", "--", ... })
    assert.equal(0, r.code)
    local list, meaning = {}, {}
    for line in r.stdout:gmatch("[^\n]+") do
      local word, doc = line:match("^([^\t]*)\t?(.*)$")
      list[#list + 1], meaning[word] = word, doc
    end
    return table.concat(list, " "), meaning
  end

  it("knows commands, their own commands, options and the values of these", function()
    local list, meaning = candidates("r")
    assert.equal("resume run runs", list)
    assert.equal("run a recipe", meaning.run)
    assert.equal("lint list lua", (candidates("l")))
    assert.equal("start status stop", (candidates("engine", "st")))
    assert.equal("--plain --plan", (candidates("run", "paint", "--pl")))
    assert.equal("local osmo", (candidates("run", "--target", "")))
    assert.equal("@file", (candidates("run", "--input", "")))
    assert.equal("bash fish zsh", (candidates("completions", "")))
    assert.equal("run runs", (candidates("help", "ru")))
  end)

  it("knows recipes, their inputs that were not given yet, and values", function()
    assert.matches("paint", (candidates("run", "")))
    local list, meaning = candidates("run", "paint", "")
    assert.equal("colour= dry= picture=", list)
    assert.equal("What to paint: a file", meaning["picture="])
    assert.equal("dry= picture=", (candidates("run", "paint", "colour=red", "")))
    assert.equal("colour=red colour=rose", (candidates("run", "--plain", "paint", "colour=r")))
    assert.equal("dry=false dry=true", (candidates("run", "recipes/paint.lua", "dry=")))
    assert.equal("@file", (candidates("run", "paint", "picture=")))
    assert.matches("cluster%-azure", (candidates("deploy", "driver", "clu")))
    assert.matches("context=", (candidates("verify", "cluster-onprem", "con")))
  end)

  it("knows runs", function()
    assert.equal("", (candidates("resume", "")))
    bench:run({ "paint" })
    local id = fs.list(bench.state .. "/runs")[1]
    assert.equal(id, (candidates("resume", "run-")))
    assert.equal(id, (candidates("runs", "show", "")))
  end)

  it("says nothing where it knows nothing, and is no command of its own", function()
    assert.equal("", (candidates("nonesuch", "")))
    assert.equal("", (candidates("run", "broken", "")))
    assert.equal("", (candidates("run", "no-such-recipe", "a")))
    assert.equal("", (candidates("run", "paint", "nonesuch=")))
    assert.equal("", (candidates("version", "")))
    assert.is_nil(bench:pai({ "help" }).stdout:find("__complete", 1, true))
  end)

  it("is of bash, also behind '=' and for files", function()
    local script = [[
      source <(pai completions bash)
      try() {
        COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
        _pai
        echo "${COMPREPLY[*]}"
      }
      try "pai runs pr" pai runs pr
      try "pai engine " pai engine ""
      try "pai run pai" pai run pai
      try "pai run paint col" pai run paint col
      try "pai run paint colour=" pai run paint colour =
      try "pai run paint colour=r" pai run paint colour = r
      try "pai run paint picture=pic" pai run paint picture = pic
      complete -p pai
    ]]
    local said = shell({ "bash", "--norc", "--noprofile" }, script)
    assert.equal(
      "prune\nroots serve start status stop\npaint\ncolour=\nred rose\nred rose\npicture.png\n"
        .. "complete -F _pai pai\n",
      said
    )
  end)

  it("is of fish", function()
    local said = shell(
      { "fish", "--no-config" },
      [[
      pai completions fish | source
      complete -C "pai runs pr"
      complete -C "pai run paint colour=r"
      complete -C "pai run paint picture=pic"
    ]]
    )
    assert.equal(
      "prune\tremove old runs\ncolour=red\tOf it\ncolour=rose\tOf it\npicture=picture.png\n",
      said
    )
  end)

  it("is of zsh, in a terminal", function()
    -- The key completes, shows the line in brackets and clears it.
    local said = shell(
      { "zsh", "-f" },
      [[
      zmodload zsh/zpty
      zpty z zsh -f -i
      zpty -w z 'autoload -Uz compinit; compinit -u -D; source <(pai completions zsh)'
      zpty -w z 'key() { zle complete-word; print -r "<$BUFFER>"; BUFFER= }; zle -N key'
      zpty -w z 'bindkey "^I" key; print -r "rea""dy"'
      zpty -r z out '*ready*'
      try() {
        zpty -w -n z "$1"$'\t'
        zpty -r z out '*<*>*'
        print -r -- "${${out##*<}%%>*}"
      }
      try 'pai runs pru'
      try 'pai run pain'
      try 'pai run paint col'
      try 'pai run paint colour=ros'
      try 'pai run paint picture=pic'
      zpty -d z
    ]]
    )
    local lines = {}
    for line in said:gmatch("[^\n]+") do
      lines[#lines + 1] = line:gsub("%s+$", "")
    end
    assert.same({
      "pai runs prune",
      "pai run paint",
      "pai run paint colour=",
      "pai run paint colour=rose",
      "pai run paint picture=picture.png",
    }, lines)
  end)

  it("names the shells it has", function()
    local r = bench:pai({ "completions", "fisch" })
    assert.equal(2, r.code)
    assert.matches(
      "knows no shell 'fisch' %(did you mean 'fish'%?%); it has bash, fish, zsh",
      r.stderr
    )
    assert.equal(2, bench:pai({ "completions" }).code)
  end)
end)
