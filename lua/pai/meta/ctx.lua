---@meta

---What a recipe's functions get first: the only way to act. Calls raise on failure; `accept` is
---where a failure is an answer. `checks`, `verify`, `done`, `each`, `estimate` and `report` only
---observe: what acts is refused there by name.
---@class pai.ctx
---@field run_id string
---@field recipe string Its name; "NAME.ACTION" for a component's action.
---@field dir string The folder of assets beside the recipe, absolute.
---@field cwd string The caller's folder when the run began, absolute.
---@field run_dir string The run's own folder; it may be written without being named in `needs`.
---@field step string The step's full name: "cluster/deploy", "augment[clip1]".
---@field item? table The item of a step with `each`.
---@field planning boolean
---@field resumed boolean
---@field target "local"|"osmo"
---@field defaults table<string, boolean> Inputs that were not given and have their default.
---@field osmo pai.osmo.Client Bound to the target; its calls raise in place of `nil, err`.
---@field check pai.ctx.check Checks that many gates share; see lua/pai/run/ctx_check.lua.
---@field kubeconfig pai.ctx.kubeconfig The user's kubeconfig; see lua/pai/run/ctx_kubeconfig.lua.
---@field osmo_deploy pai.osmo_deploy OSMO's releases, Secrets and gates; see lua/pai/osmo_deploy.
---@field inference pai.ctx.inference Which endpoints a workflow refers to; see lua/pai/inference.
---@field cidr table IPv4 networks; see lua/pai/cidr.lua.
---@field semver table Versions; see lua/pai/semver.lua.
---@field tools table<string, table> Typed wrappers of foreign tools; see lua/pai/tools.
local ctx = {}

---Runs a reading command: one that `needs.reads` or lua/pai/tools names.
---@param argv string[]
---@param opts? table As pai.exec.run; the deadline is 60s if not given.
---@return pai.exec.result
function ctx.query(argv, opts) end

---Runs a program of `needs.bins`. Its process is journalled; its output goes to the run's folder
---and its last line to whoever watches.
---@param argv string[]
---@param opts? table As pai.exec.run.
---@return pai.exec.result
function ctx.exec(argv, opts) end

---Where a program is on PATH.
---@param program string
---@return string? path
function ctx.which(program) end

---Sends a request to a host of `needs.hosts`.
---@param opts table As pai.http.request, without `follow`.
---@return pai.http.response
function ctx.http(opts) end

---Reads a text file; a path is relative to `cwd`.
---@param path string
---@return string
function ctx.read(path) end

---Writes a file below `needs.writes`, whole or not at all. Text that holds a secret is refused.
---@param path string
---@param body string
---@param opts? { mode?: string|integer }
---@return string path absolute
function ctx.write(path, body, opts) end

---The handle of a declared secret input.
---@param name string
---@return pai.secret.handle?
function ctx.secret(name) end

---Says something to people; it is journalled.
---@param message any
function ctx.log(message) end

---A sign of life with the last useful observation; what says nothing new is left out.
---@param beat { state?: string, observation?: string, next?: string }
function ctx.heartbeat(beat) end

---Names a file of evidence: one line `MEDIA:/absolute/path`, once.
---@param path string
---@return string path absolute
function ctx.media(path) end

---Runs functions side by side; the first failure ends the others and is raised.
---@param fns table<any, fun(): any>
---@param opts? { limit?: integer }
---@return table results
function ctx.all(fns, opts) end

---Waits a while, or until a function gives something that is not nil or false.
---@param what string|integer|fun(): any
---@param opts? { every?: string, timeout?: string, what?: string }
---@return any value What the function gave.
function ctx.wait(what, opts) end

---Does some work and then always the clean-up: also after an error, a deadline or an interruption,
---which are held back for it, a minute at most. Gives what the work gives.
---@generic T
---@param work fun(): T
---@param clean fun()
---@return T
function ctx.finally(work, clean) end

---The SHA-256 of a text in hex.
---@param body string
---@return string
function ctx.hash(body) end

---The file system. Paths are relative to `cwd`. What changes something is bound to `needs.writes`.
---@class pai.ctx.fs
local ctx_fs = {}

ctx.fs = ctx_fs

---@param path string
---@return boolean
function ctx_fs.exists(path) end

---@param path string
---@return pai.fs.stat? st nil when there is nothing
function ctx_fs.stat(path) end

---@param dir string
---@return string[] names sorted
function ctx_fs.list(dir) end

---@param dir string
---@return string[] paths of files below it, sorted
function ctx_fs.walk(dir) end

---@param pattern string
---@return string[] paths sorted
function ctx_fs.glob(pattern) end

---@param path string
---@return string sha256 hex
function ctx_fs.digest(path) end

---@param path string
---@return integer bytes
function ctx_fs.disk_free(path) end

---@param path string
---@param root string
---@return boolean
function ctx_fs.under(path, root) end

---@param ... string
---@return string
function ctx_fs.join(...) end

---@param path string
---@return string
function ctx_fs.dirname(path) end

---@param path string
---@return string
function ctx_fs.basename(path) end

---@param path string
---@return string
function ctx_fs.abspath(path) end

---Makes a folder and those above it.
---@param path string
function ctx_fs.mkdir(path) end

---@param from string
---@param to string
---@param opts? { mode?: string|integer }
function ctx_fs.copy(from, to, opts) end

---@param path string
---@param opts? { recursive?: boolean }
function ctx_fs.remove(path, opts) end

---@param from string
---@param to string
function ctx_fs.rename(from, to) end

---@param path string
---@param mode string|integer
function ctx_fs.chmod(path, mode) end

---A fresh folder below the run's own.
---@return string
function ctx_fs.tempdir() end

---Object stores: s3, gs, swift, tos, azure and file:// URLs. Servers must be in `needs.hosts`; what
---is downloaded must lie below `needs.writes`, and so must a file:// place that is written. Keys come
---from OSMO's config.yaml, for s3 and azure also from the environment, or from `keys`, where secrets
---are handles. list, stat and exists only look; the others act. Besides their own, all calls take
---`keys`, `parallel`, `retries` and `ca_file` (pai.store.Options).
---@class pai.ctx.store
local ctx_store = {}

ctx.store = ctx_store

---What is below a URL; folders have `folder = true`.
---@param url string
---@param opts? pai.store.ListOptions
---@return pai.store.Object[] entries
function ctx_store.list(url, opts) end

---@param url string
---@param opts? pai.store.Options
---@return pai.store.Object? object nil when there is none
function ctx_store.stat(url, opts) end

---Whether there is such an object, or anything below the path.
---@param url string
---@param opts? pai.store.Options
---@return boolean
function ctx_store.exists(url, opts) end

---Uploads files and folders below the URL: a folder keeps its name, `dir/*` leaves it out. A `.env`
---is never uploaded.
---@param paths string|string[]
---@param url string
---@param opts? pai.store.TransferOptions
---@return pai.store.Result
function ctx_store.upload(paths, url, opts) end

---Downloads an object, or all that is below the URL's path, into a folder.
---@param url string
---@param dir string
---@param opts? pai.store.TransferOptions
---@return pai.store.Result
function ctx_store.download(url, dir, opts) end

---Deletes an object, or all that is below the URL's path.
---@param url string
---@param opts? { regex?: string, include?: string[], exclude?: string[], dry_run?: boolean }
---@return { keys: string[], deleted: integer }
function ctx_store.delete(url, opts) end

---JSON as pai.json has it; what is wrong raises.
---@class pai.ctx.json
---@field null any
ctx.json = {}

---@param value any
---@param opts? table
---@return string
function ctx.json.encode(value, opts) end

---@param body string
---@param opts? table
---@return any
function ctx.json.decode(body, opts) end

---JSON in which handles may stand where texts do, as a handle. It may go where they may; they are
---of one secret input.
---@param value any
---@return pai.secret.handle
function ctx.json.seal(value) end

---Marks a list, so that an empty one is written as one.
---@generic T: table
---@param list T
---@return T
function ctx.json.array(list) end

---YAML as pai.yaml has it; what is wrong raises.
---@class pai.ctx.yaml
ctx.yaml = {}

---@param value any
---@param opts? table
---@return string
function ctx.yaml.encode(value, opts) end

---@param body string
---@param opts? table
---@return any
function ctx.yaml.decode(body, opts) end

---A client for a cluster of needs.clusters, by its context; without one for the only cluster there.
---The context is looked for in the file that an input `kubeconfig` names, if there is such an input.
---It makes sure that this is the cluster that was planned for, and records it.
---@param context? string
---@return pai.ctx.k8s
function ctx.k8s(context) end

---What pai.k8s.client has; calls raise, unless `accept` names the reason, such as "NotFound". What
---changes something is refused where only looking is allowed.
---@class pai.ctx.k8s
---@field context string
local ctx_k8s = {}

---@param what string|table "pods", "deploy", or { apiVersion =, kind = }
---@param name string
---@param opts? { namespace?: string, pick?: string[], accept?: string[] }
---@return table?
function ctx_k8s:get(what, name, opts) end

---@param what string|table
---@param opts? pai.k8s.ListOptions
---@return table[] items
function ctx_k8s:list(what, opts) end

---@param object table
---@param opts? pai.k8s.ApplyOptions
---@return table object
---@return "created"|"configured"|"unchanged" outcome
function ctx_k8s:apply(object, opts) end

---@param object table
---@param opts? pai.k8s.Options
---@return table
function ctx_k8s:create(object, opts) end

---@param what string|table
---@param name string
---@param patch table
---@param opts? pai.k8s.Options
---@return table
function ctx_k8s:patch(what, name, patch, opts) end

---@param what string|table
---@param name string
---@param opts? pai.k8s.DeleteOptions
---@return "deleted"|"deleting"|"absent"
function ctx_k8s:delete(what, name, opts) end

---@param what string|table
---@param name string
---@param opts pai.k8s.WaitOptions
---@return table object
function ctx_k8s:wait(what, name, opts) end

---Asks a pod to go, as a drain does; `budgets` of the error "TooManyRequests" says what holds it.
---@param pod string
---@param opts? { namespace?: string, uid?: string, accept?: string[] }
---@return true?
---@return pai.error? err
function ctx_k8s:evict(pod, opts) end

---@param pod string
---@param argv string[]
---@param opts? pai.k8s.ExecOptions
---@return { code: integer, stdout: string, stderr: string }
function ctx_k8s:exec(pod, argv, opts) end

---The values of a Secret as handles.
---@param name string
---@param opts? { namespace?: string, accept?: string[] }
---@return table<string, pai.secret.handle>
function ctx_k8s:secret(name, opts) end

---The values of a ConfigMap as handles.
---@param name string
---@param opts? { namespace?: string, accept?: string[] }
---@return table<string, pai.secret.handle>
function ctx_k8s:sealed(name, opts) end

---Asks a Service for a path, through the API server.
---@param service string
---@param opts { namespace?: string, port: integer, path: string, timeout?: string }
---@return integer status
---@return string body
function ctx_k8s:proxy(service, opts) end

---What the API server says at a path that holds no object: "/readyz?verbose".
---@param path string
---@param opts? { timeout?: string, once?: boolean } once: a failure is not asked about again
---@return integer status of HTTP
---@return string body
function ctx_k8s:raw(path, opts) end

---What is wrong in a namespace, as checks for a gate.
---@param opts? { namespace?: string, labels?: string }
---@return table[]
function ctx_k8s:checks(opts) end

---Runs a function, such as one that waits, while looking at a namespace for what may stop it: image,
---credential, taint, claim, GPU, memory, quota. Each trouble is told as it shows; one that has lasted
---for `patience_s` (default 600) ends the function. A failure comes with the trouble that was there.
---@generic T
---@param opts pai.k8s.GuardOptions
---@param fn fun(): T
---@return T
function ctx_k8s:guarded(opts, fn) end

---Runs a function with a local port that leads to a pod or Service.
---@generic T
---@param opts pai.k8s.ForwardOptions
---@param fn fun(port: integer): T
---@return T
function ctx_k8s:forwarded(opts, fn) end

return ctx
