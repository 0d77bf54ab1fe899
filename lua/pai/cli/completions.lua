-- pai completions
local args = require("pai.cli.args")
local err = require("pai.err")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "completions",
  summary = "complete commands, recipes and inputs in your shell",
  usage = "bash|zsh|fish",
  doc = "Prints a script for your shell. It asks pai itself what could come next: commands and "
    .. "their options, recipes and components, the inputs of the recipe that you named and their "
    .. "values, runs.",
  examples = {
    { "source <(pai completions bash)", "in ~/.bashrc" },
    { "source <(pai completions zsh)", "in ~/.zshrc, after compinit" },
    { "pai completions fish | source", "in ~/.config/fish/config.fish" },
  },
}

-- Words break at "=" and ":" in bash, so the word at the cursor is put together again, and what
-- readline has of it already is taken off the candidates.
local BASH <const> = [=[
_pai() {
  local line=${COMP_LINE:0:COMP_POINT} words reply word prefix
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  word=${words[-1]}
  prefix=${word%"${COMP_WORDS[COMP_CWORD]#[=:]}"}
  COMPREPLY=()
  while IFS=$'\t' read -r reply _; do
    if [[ $reply == @file ]]; then
      compopt -o filenames 2>/dev/null
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "${word#"$prefix"}")
    else
      [[ $reply == *= ]] && compopt -o nospace 2>/dev/null
      COMPREPLY+=("${reply#"$prefix"}")
    fi
  done < <(pai __complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _pai pai
]=]

local ZSH <const> = [=[
_pai() {
  local line reply doc
  local -a plain open
  for line in "${(@f)$(pai __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    reply=${line%%$'\t'*}
    doc=${line#*$'\t'}
    case $reply in
      '') ;;
      @file) compset -P '*=' ; _files ;;
      *=) open+=("$reply") ;;
      *) plain+=("${reply//:/\\:}:$doc") ;;
    esac
  done
  (( $#open )) && compadd -S '' -- $open
  (( $#plain )) && _describe -V 'pai' plain
}
compdef _pai pai
]=]

local FISH <const> = [=[
function __pai_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (pai __complete -- $words[2..-1] 2>/dev/null)
        if test "$line" = @file
            set -l key (string match -r '^[\w-]+=' -- $words[-1])
            set -l path (string replace -r '^[\w-]+=' '' -- $words[-1])
            printf "$key%s\n" (__fish_complete_path $path)
        else
            echo $line
        end
    end
end
complete -c pai -f -a '(__pai_complete)'
]=]

local SCRIPTS <const> = { bash = BASH, zsh = ZSH, fish = FISH }

---@param words string[]
---@return integer exit code
function M.run(words)
  args.count(words, 1, 1, "bash|zsh|fish")
  local script = SCRIPTS[words[1]]
  if not script then
    local shells = text.keys(SCRIPTS)
    local message = "pai completions knows no shell '%s'%s; it has %s"
    local hint = text.did_you_mean(words[1], shells)
    err.raise("EUSAGE", message:format(words[1], hint, table.concat(shells, ", ")))
  end
  out.stdout(script)
  return 0
end

return M
