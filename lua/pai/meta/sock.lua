---@meta pai.sock

---TCP connections, unix sockets and standard input as streams. Whoever waits lets other tasks go on.
---@class pai.sock
local sock = {}

---A connection, a listener, or standard input; closed when it is collected.
---@class pai.sock.Stream
local Stream = {}

---@class pai.sock.listen_options
---@field host? string A loopback address, default "127.0.0.1"; others are refused with `EACCES`.
---@field port? integer Default: any free one.

---@param opts? pai.sock.listen_options
---@return pai.sock.Stream? listener
---@return pai.error? err
function sock.listen(opts) end

---@class pai.sock.connect_options
---@field unix? string The path of a socket, or:
---@field host? string An address, default "127.0.0.1"; names are not looked up.
---@field port? integer
---@field timeout? string|integer Default "30s".

---@param opts pai.sock.connect_options
---@return pai.sock.Stream? connection
---@return pai.error? err `ECONNREFUSED`, `ENOENT` and the like, `ETIMEDOUT`
function sock.connect(opts) end

---Standard input. Its flags are left alone, and closing it does not close it for others.
---@return pai.sock.Stream
function sock.stdin() end

---What there is to read; nil without an error at the end.
---@param timeout? string|integer
---@return string? text
---@return pai.error? err
function Stream:read(timeout) end

---Writes all of the text.
---@param text string
---@param timeout? string|integer
---@return true?
---@return pai.error? err `EPIPE` and the like when nobody reads.
function Stream:write(text, timeout) end

---Says that nothing more will be written; reading goes on.
function Stream:shut() end

function Stream:close() end

---The next connection to a listener.
---@param timeout? string|integer
---@return pai.sock.Stream? connection
---@return pai.error? err
function Stream:accept(timeout) end

---@return integer port That a listener or a connection is bound to here.
function Stream:port() end

return sock
