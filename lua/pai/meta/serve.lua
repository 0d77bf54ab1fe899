---@meta pai.serve

---An HTTP server in this process, on loopback or a unix socket. Each request is handled in a task
---of its own.
---@class pai.serve
local serve = {}

---@class pai.serve.request
---@field method string
---@field path string Decoded.
---@field query table<string, string[]> Every value of each name, in order.
---@field headers table<string, string> Names in lower case.
---@field body string
---@field gone fun(): boolean Whether the client has gone; noticed within two seconds.

---A stream writes the body piece by piece. If it fails, the connection is cut, so that the client
---sees it.
---@class pai.serve.answer
---@field status? integer Default 200.
---@field headers? table<string, string|string[]>
---@field body? string
---@field json? any The body as JSON.
---@field stream? fun(w: pai.serve.writer)
---@field websocket? fun(conn: pai.ws.Conn) In place of all but headers: what is done once the
---handshake is. A request that is no handshake is answered with 426 or 400, and the function is not
---called. When it returns, the peer is told 1000 and has 5 s to answer; when it fails, 1011; when the
---server closes, its task is cancelled and the peer told 1001.
---@field protocol? string The WebSocket subprotocol that is chosen, of those that were offered.
---@field max_message? integer Bytes of one message; more ends the connection. Default 16 MiB.
---@field ping? string|integer A silent peer is asked after this, default "30s"; after twice as long
---it is given up. 0: never.

---@class pai.serve.writer
local writer = {}

---An error in the handler is answered with 500 and `{"message": ...}`, masked. On TCP the Host header
---must be localhost, 127.0.0.1, [::1] or one of hosts.
---@class pai.serve.options
---@field handler fun(req: pai.serve.request): pai.serve.answer
---@field unix? string The path of a socket, made with mode 0600; a stale one is replaced.
---@field host? string An address. Default "127.0.0.1".
---@field port? integer Default 0, any free one.
---@field max_body? integer Bytes; a larger request is answered with 413. Default 8 MiB.
---@field same_uid? boolean Only processes of our own user are answered, others get 403.
---@field hosts? string[]
---@field origins? string[] Origins of web pages that may call, beside the server's own.
---@field allow_remote? boolean Lets host be no loopback address; needs hosts.

---@class pai.serve.server
local server = {}

---Listens from now on, until close.
---@param opts pai.serve.options
---@return pai.serve.server?
---@return pai.error? err `EADDRINUSE`, `EACCES` for an address beyond loopback, `ENAMETOOLONG`
function serve.listen(opts) end

---Sends a piece; waits while much is still unsent.
---@param chunk string
---@return true?
---@return pai.error? err `EPIPE`: the client is gone.
function writer:write(chunk) end

---@return boolean
function writer:gone() end

---@return integer port 0 for a unix socket.
function server:port() end

---Stops listening and waits for the end: requests under way have the time of drain (default 0),
---then their tasks are cancelled and answered with 503, and a second later all are cut off. From
---inside a handler it returns at once.
---@param opts? { drain?: string|integer }
function server:close(opts) end

return serve
