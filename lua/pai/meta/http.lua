---@meta pai.http

---HTTP and HTTPS requests. The calling task waits, others go on. TLS is verified, .netrc is not
---read, and what is given for a server goes to no other.
---@class pai.http
local http = {}

---The timeout is for all of it: every attempt, redirect and call of on_data. A redirect to another
---origin carries only harmless headers (Accept, Content-Type and the like). More attempts are made
---after a lost connection or 408, 429, 502, 503 and 504: for every method but POST and PATCH, or
---where the server cannot have seen the request; retry_any repeats those too. The environment's
---proxies (http_proxy, https_proxy, no_proxy) never count for loopback and unix sockets.
---@class pai.http.options
---@field url string
---@field method? string In capitals. Default "GET", or "POST" with a body.
---@field headers? table<string, string|number|pai.secret.handle|(string|pai.secret.handle)[]>
---@field query? table<string, string|number|boolean|(string|number)[]> Never a secret.
---@field body? string|pai.secret.handle
---@field json? any The body as JSON.
---@field form? table<string, string|pai.secret.handle> As application/x-www-form-urlencoded.
---@field bearer? string|pai.secret.handle
---@field basic? { [1]: string, [2]: string|pai.secret.handle } User and password.
---@field timeout? string|integer Default "30s"; 0 is none.
---@field connect_timeout? string|integer For each connection. Default "5s".
---@field unix_socket? string
---@field accept? integer[]|"any" Statuses beside 2xx that are no error.
---@field max_body? integer Bytes of a body kept in memory; more is `ELIMIT`. Default 64 MiB.
---@field on_data? fun(chunk: string): boolean? Takes the body of an accepted answer, see request.
---@field output? string The body of an accepted answer goes to this file, whole or not at all.
---@field follow? integer How many redirects may be followed. Default 0.
---@field stay? boolean A redirect to another origin is an error (`EACCES`).
---@field retries? integer Default 0.
---@field retry_wait? string|integer It doubles; a longer Retry-After counts. Default "500ms".
---@field retry_any? boolean
---@field body_file? pai.http.part The body is this part of a file, read while it is sent.
---@field into? pai.http.part The body of a 206, or of a 200 for offset 0, is written there.
---@field secret_query? pai.secret.handle Goes behind the URL; never shown. Excludes `follow`.
---@field stall_timeout? string|integer A transfer that moves nothing for so long fails. Default none.
---@field ca_file? string Certificates to trust in place of the system's.
---@field tls? pai.http.tls
---@field connect_to? string "host:port" that is dialled in place of the URL's, whose host is then
---the name that the certificate must have.
---@field secret? boolean The body of an accepted answer, at most 1 MiB, becomes a handle: `secret`.
---@field proxy? string A URL, or "" for none. Default: as the environment says.

---@class pai.http.part
---@field path string An existing regular file.
---@field offset? integer Bytes. Default 0.
---@field length integer Bytes; a longer body is an error (`EPROTO`).

---PEM texts. For the URL's own origin only.
---@class pai.http.tls
---@field ca? string Certificates to trust in place of the system's.
---@field cert? string|pai.secret.handle The client's certificate and what it is signed by.
---@field key? string|pai.secret.handle
---@field insecure? boolean The server's certificate is not checked.

---@class pai.http.response
---@field secret pai.secret.handle? With the option `secret`, in place of `body`.
---@field status integer
---@field headers table<string, string> Names in lower case; values of one name joined with ", ".
---@field body string? Absent with on_data and output.
---@field url string? Of the last hop, after redirects.
---@field written integer? With `into`: bytes written. An error has it, too.
---@field json fun(): any, pai.error? Reads the body as JSON.

---Sends a request and waits for the whole answer. on_data runs in the calling task and gets the body
---in pieces; the server waits while it does; `false` ends the transfer well. A status that is not accepted is an error with
---the code `EHTTP` and the answer's `status`, `headers` and `body`. Other codes: `ENETWORK` (with
---the system's `errno` where known, and `tls` for a refused certificate), `ETIMEDOUT`, `EPROTO`,
---`ELIMIT`, `EINVAL` for a URL that is none. Set-Cookie headers are joined with line ends.
---@param opts pai.http.options
---@return pai.http.response?
---@return pai.error? err
function http.request(opts) end

---How much of the parts of files (`body_file`, `into`) the requests have moved that are running now.
---@return integer bytes
function http.under_way() end

return http
