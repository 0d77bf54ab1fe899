---@meta pai.fs

---Files, folders, paths, locks, and what the system says of processes. What fails gives
---`nil, err` with the errno name as `err.code`. Modes are integers or strings such as "0600".
---@class pai.fs
local fs = {}

---Reads a whole file.
---@param path string
---@param opts? { max?: integer } Bytes, default 256 MiB; a larger file is `ELIMIT`.
---@return string? text
---@return pai.error? err
function fs.read(path, opts) end

---@class pai.fs.write_options
---@field mode? integer|string Default: that of the file before, else 0666 less umask.
---@field sync? boolean Wait for the disk. Default true for write, false for copy and append.
---@field exclusive? boolean `EEXIST` when there is such a file.

---Writes a file whole or not at all: a temporary one beside it takes its place. A link is replaced,
---not followed; devices and pipes are refused.
---@param path string
---@param text string
---@param opts? pai.fs.write_options
---@return true?
---@return pai.error? err
function fs.write(path, text, opts) end

---Adds to the end of a file, which is made if need be.
---@param path string
---@param text string
---@param opts? { mode?: integer|string, sync?: boolean }
---@return true?
---@return pai.error? err
function fs.append(path, text, opts) end

---Copies a regular file, whole or not at all, with its mode.
---@param from string
---@param to string
---@param opts? pai.fs.write_options
---@return true?
---@return pai.error? err
function fs.copy(from, to, opts) end

---Makes a folder; with `parents` those above it too, and one that is there is fine.
---@param path string
---@param opts? { parents?: boolean, mode?: integer|string }
---@return true?
---@return pai.error? err
function fs.mkdir(path, opts) end

---@class pai.fs.stat
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"device"
---@field size integer Bytes.
---@field mode integer Permission bits.
---@field mtime_ms integer Milliseconds since 1970.
---@field uid integer
---@field ino integer
---@field dev integer

---@param path string
---@param opts? { follow?: boolean } `false`: of the link itself. Default true.
---@return pai.fs.stat?
---@return pai.error? err
function fs.stat(path, opts) end

---The names in a folder, sorted by their bytes.
---@param dir string
---@return string[]? names
---@return pai.error? err
function fs.list(dir) end

---The relative paths of all in a tree that is no folder, sorted by their bytes. Links are not
---followed.
---@param dir string
---@param opts? { max?: integer } How many at most, default 1,000,000.
---@return string[]? paths
---@return pai.error? err
function fs.walk(dir, opts) end

---The paths that match a pattern with `*`, `?`, `[a-z]` and `{a,b}`, sorted by their bytes.
---@param pattern string
---@return string[]? paths
---@return pai.error? err
function fs.glob(pattern) end

---Removes a file, a link or an empty folder; with `recursive` all that is in a folder.
---@param path string
---@param opts? { recursive?: boolean }
---@return true?
---@return pai.error? err
function fs.remove(path, opts) end

---@param from string
---@param to string
---@return true?
---@return pai.error? err
function fs.rename(from, to) end

---Makes another name of the same file.
---@param target string
---@param path string
---@return true?
---@return pai.error? err
function fs.link(target, path) end

---@param target string
---@param path string
---@return true?
---@return pai.error? err
function fs.symlink(target, path) end

---@param path string
---@param mode integer|string
---@return true?
---@return pai.error? err
function fs.chmod(path, mode) end

---@param path string
---@return string? target
---@return pai.error? err
function fs.readlink(path) end

---The absolute path without links of something that exists.
---@param path string
---@return string? path
---@return pai.error? err
function fs.realpath(path) end

---Whether there is something, links followed.
---@param path string
---@return boolean
function fs.exists(path) end

---@return string? path
---@return pai.error? err
function fs.cwd() end

---Makes a new, private folder.
---@param opts? { prefix?: string, dir?: string } Default: "pai-" in $TMPDIR or /tmp.
---@return string? path
---@return pai.error? err
function fs.tempdir(opts) end

---Whether a path lies in one of these folders, all links resolved, also those to what does not
---exist yet.
---@param path string
---@param roots string[]
---@return boolean
function fs.under(path, roots) end

---How many bytes a user may still write where the path is or would be.
---@param path string
---@return integer? bytes
---@return pai.error? err
function fs.disk_free(path) end

---Joins parts with "/"; an absolute part begins anew.
---@param ... string
---@return string
function fs.join(...) end

---@param path string
---@return string
function fs.dirname(path) end

---@param path string
---@return string
function fs.basename(path) end

---The absolute path without "." and "..", as text: nothing is looked up.
---@param path string
---@param base? string An absolute folder. Default: the working directory.
---@return string? path
---@return pai.error? err
function fs.abspath(path, base) end

---@class pai.fs.process
---@field start_time integer Clock ticks after boot: with the pid it names a process for good.
---@field ppid integer
---@field state string "R", "S", "D", "Z"…
---@field cmd string Its arguments divided by spaces, or "[name]".

---@param pid integer
---@return pai.fs.process?
---@return pai.error? err `ESRCH`: there is none.
function fs.process(pid) end

---An id that is new with every boot.
---@return string? id
---@return pai.error? err
function fs.boot_id() end

---@return string? name
---@return pai.error? err
function fs.hostname() end

---The user this process acts as, or another one.
---@param uid integer? the user's number; this process's if not given
---@return string name the number where the system has no name for it
---@return integer uid
function fs.user(uid) end

---A lock on a file, let go when it is released, closed or its process ends.
---@class pai.fs.lock
local lock = {}

---Lets the lock go; more than once is fine.
function lock:release() end

---Replaces the text in the locked file. (`fs.write` would put another file in its place.)
---@param text string
---@return true?
---@return pai.error? err
function lock:write(text) end

---Locks a file, which is made if need be, against other processes.
---@param path string
---@param opts? { wait?: string|integer } How long to wait for it. Default: not at all.
---@return pai.fs.lock? lock
---@return pai.error? err `EAGAIN`: another one holds it.
function fs.lock(path, opts) end

return fs
