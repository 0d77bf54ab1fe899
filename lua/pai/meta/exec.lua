---@meta pai.exec

---Child processes, started from an argument array, never through a shell. A child leads a process
---group of its own, sees descriptors 0, 1 and 2 only, and dies with pai. What it writes is masked
---before anybody sees it. A secret may go into `env` and `stdin`; as an argument it is refused.
---@class pai.exec
local exec = {}

---@class pai.exec.Process
---@field pid integer Also the number of its process group.
---@field start_time integer In clock ticks since boot.
local Process = {}

---`timeout` ends the whole group: TERM, after `grace` KILL. A grandchild that keeps the output open
---is read for `hold` after the end. `on_line` gets whole lines in the caller's task; the child
---waits if it is slow. Streams given as `{ file = ... }` are not masked: they are the child's own.
---The environment is PATH, HOME, USER, LANG, LC_ALL, TZ, TMPDIR, TERM, XDG_* and `env`. `stdin` is
---text, a secret, a file, or "null" (default), "inherit", "pipe" (for `write`). Outputs default to
---"capture"; "secret" gives a handle.
---@class pai.exec.options
---@field cwd? string
---@field env? table<string, string|number|pai.secret.handle|false> False takes a variable away.
---@field inherit_env? boolean All of ours.
---@field stdin? string|pai.secret.handle|{ file: string }
---@field stdout? "capture"|"null"|"inherit"|"secret"|pai.exec.file
---@field stderr? "capture"|"null"|"inherit"|"secret"|"stdout"|pai.exec.file
---@field timeout? string|integer
---@field grace? string|integer Default "5s".
---@field hold? string|integer Default "500ms".
---@field on_line? fun(line: string, stream: "stdout"|"stderr")
---@field on_output? fun(text: string, stream: "stdout"|"stderr") In place of on_line: as it comes.
---@field on_start? fun(pid: integer, start_time: integer) For `run` only.
---@field max_output? integer Bytes kept of each stream. Default 16 MiB.
---@field accept? integer[]|"any" Exit codes that are no error, default { 0 }.
---@field mounts_of? integer A process in whose mount namespace the program runs: one of root's, or
---whose user namespace is the caller's own. `cwd` and the program are looked for in there.
---@field raw? boolean Bytes as they are, unmasked: for binary data.

---@class pai.exec.file
---@field file string
---@field append? boolean
---@field mode? integer Of a new file, default 0600.

---@class pai.exec.result
---@field code? integer The exit code; nil when a signal ended it.
---@field signal? string "SIGKILL" and the like.
---@field signo? integer
---@field stdout string|pai.secret.handle
---@field stderr string|pai.secret.handle
---@field duration_ms integer
---@field truncated boolean More came than max_output.
---@field held boolean Somebody kept the output open.

---Runs a program to its end. What is not accepted is `EEXIT` with `exit`, `signal`, `signo`,
---`stdout` and `stderr`; the timeout is `ETIMEDOUT`; a program that cannot be started has its errno. When the
---caller is cancelled, or a callback raises, the group is ended first.
---@param argv string[]
---@param opts? pai.exec.options
---@return pai.exec.result?
---@return pai.error? err
function exec.run(argv, opts) end

---Starts a program. It is ended when the value is closed or collected.
---@param argv string[]
---@param opts? pai.exec.options
---@return pai.exec.Process?
---@return pai.error? err
function exec.start(argv, opts) end

---Starts a program in a session of its own that outlives pai. Its streams are /dev/null or files.
---@param argv string[]
---@param opts? pai.exec.options Only cwd, env, inherit_env, stdin, stdout, stderr.
---@return integer? pid
---@return pai.error? err
function exec.detach(argv, opts) end

---Waits for the end, as run does. With a timeout: `ETIMEDOUT`, and the program goes on.
---@param timeout? string|integer
---@return pai.exec.result?
---@return pai.error? err
function Process:wait(timeout) end

---The next line, without its newline; nil at the end. Lines that were read are not in the result.
---@param timeout? string|integer
---@return string? line
---@return "stdout"|"stderr"|pai.error|nil stream
function Process:read_line(timeout) end

---Writes to stdin (`stdin = "pipe"`); waits while much is unread. `EPIPE` when nobody reads.
---@param text string|pai.secret.handle
---@return true?
---@return pai.error? err
function Process:write(text) end

function Process:close_stdin() end

---Sends a signal to the group.
---@param name? string "TERM" (default), "SIGINT", ...
---@return true?
---@return pai.error? err
function Process:kill(name) end

---Ends the group: TERM, grace, KILL; returns when it is gone.
function Process:stop() end

return exec
