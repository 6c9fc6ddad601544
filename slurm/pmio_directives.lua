-- pmio_directives.lua -- what #PMEM lines mean; used by burst_buffer.lua and job_submit.lua, which lie beside it
--
-- Lua 5.1, as Slurm 22.05 has it.  Only file input and output: much of this runs inside slurmctld with its locks held.

local M = {}
local MIB = 1048576
local UNITS = { [""] = 1, K = 2^10, M = 2^20, G = 2^30, T = 2^40, P = 2^50 }
local DECIMAL = { K = 1e3, M = 1e6, G = 1e9, T = 1e12, P = 1e15 }

-- settings of pmio that a job may choose, with a pattern for their values; they reach its programs as PMIO_NAME
local SETTINGS = {
  drain = { "close", "async", "hold", "aggregate" }, drain_early = { "on", "off" },
  drain_sync = { "auto", "close", "later" }, sync = { "auto", "pool", "drain" },
  cache = { "keep", "drop" }, fallback = { "pfs", "error" }, verify = { "none", "drain" },
  placement = { "auto", "local", "striped", "remote", "single" }, collective = { "auto", "direct", "aggregate" },
  log = { "none", "error", "warn", "info", "debug" },
}
local VERBS = { stage_in = true, stage_out = true } -- which take source=, type=
local PERSISTENT = { create_persistent = true, use_persistent = true, destroy_persistent = true }
local KNOWN = "capacity=, pool=, stage_in, stage_out, create_persistent, use_persistent, destroy_persistent, drain=, "
  .. "drain_early=, drain_sync=, sync=, cache=, fallback=, verify=, placement=, collective=, targets=, target_size=, redirect=, log="
local TARGETS_MAX = 4096
local SMALL = 16 * MIB -- of each node, for a job that only uses a persistent buffer

-- What a user may write.  All of it is looked at while slurmctld waits, so each pattern here takes time in proportion to
-- what it looks at: no two repetitions of one pattern can match the same character.
local LINES_MAX = 256 -- #PMEM lines
local TEXT_MAX = 65536 -- characters of all of them; what setup hands to a shell is not much longer
local LINE_MAX = 16384 -- of one with those that go on in the next line
local WORDS_MAX = 64 -- in it
local WORD_MAX = 8192
local PATH_MAX = 4095
local SIZE_MAX = 32 -- "1.5GiB"
local NUMBER_MAX = 9 -- digits
local QUOTE_MAX = 80 -- characters of it in a message

-- what somebody wrote, for a message: not too long, and nothing in it that a terminal obeys.  C1 controls are so in UTF-8.
function M.quote(text)
  if #text > QUOTE_MAX then text = text:sub(1, QUOTE_MAX - 3) .. "..." end
  text = text:gsub("\194[\128-\159]", "?")
  return "'" .. text:gsub("%c", "?") .. "'"
end
local quote = M.quote

-- KEY=VALUE lines of pmio-slurm.conf; shell reads the same file
function M.conf(dir)
  local t = {}
  local f = io.open(dir .. "/pmio-slurm.conf", "r")
  if not f then return nil, "cannot read " .. dir .. "/pmio-slurm.conf" end
  for l in f:lines() do
    local k, v = l:match("^%s*([%u_]+)=(.-)%s*$")
    if k then t[k] = v end
  end
  f:close()
  for _, k in ipairs({ "HELPER", "STATE", "PMEM", "NODE_CAPACITY", "CAPACITY" }) do
    if not t[k] or t[k] == "" then return nil, dir .. "/pmio-slurm.conf: " .. k .. " is not set" end
  end
  for _, k in ipairs({ "NODE_CAPACITY", "CAPACITY" }) do
    t[k] = M.size(t[k])
    if not t[k] then return nil, dir .. "/pmio-slurm.conf: " .. k .. " is not a size" end
  end
  t.POOL = t.POOL or "pmem"
  return t
end

function M.slurp(path)
  local f = io.open(path, "r")
  if not f then return nil end
  local s = f:read("*a")
  f:close()
  return s
end

-- "1.5GiB" to bytes, or nil
function M.size(text)
  if #text > SIZE_MAX then return nil end
  local number = text:match("^%d+")
  if not number then return nil end
  number = number .. (text:match("^%.%d*", #number + 1) or "")
  local unit = text:match("^%a*$", #number + 1)
  if not unit then return nil end
  unit = unit:upper()
  local letter, rest = unit:match("^([KMGTP]?)(.*)$")
  local factor
  if rest == "" or rest == "IB" and letter ~= "" then factor = UNITS[letter]
  elseif rest == "B" then factor = letter == "" and 1 or DECIMAL[letter] end
  if not factor then return nil end
  local bytes = math.ceil(tonumber(number) * factor)
  if bytes >= 2^53 then return nil end
  return bytes
end

-- as people write it
function M.show(bytes)
  local units, i = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" }, 1
  while bytes >= 1024 and i < #units do bytes, i = bytes / 1024, i + 1 end
  return (bytes == math.floor(bytes) and "%d %s" or "%.1f %s"):format(bytes, units[i])
end

local function too_long(n, what, max) return nil, ("line %d: %s: %d at most"):format(n, what, max) end

-- the words of one line's text behind #PMEM into entry e, which may have some of lines before; nil and why
local function add_words(e, text, n)
  e.length = e.length + #text
  if e.length > LINE_MAX then return too_long(n, "too many characters in a #PMEM line", LINE_MAX) end
  for w in text:gsub("^%s*#.*$", ""):gsub("%s#.*$", ""):gmatch("%S+") do
    if #w > WORD_MAX then return too_long(n, "too many characters in a word", WORD_MAX) end
    if w:find("%c") then return nil, ("line %d: %s: control characters"):format(n, quote(w)) end
    -- without the comment behind it the line would go on
    if w:find("\\$") then return nil, ("line %d: %s: a word ends with a backslash"):format(n, quote(w)) end
    if #e.words == WORDS_MAX then return too_long(n, "too many words in a #PMEM line", WORDS_MAX) end
    e.words[#e.words + 1] = w
  end
  return true
end

-- the #PMEM lines of a script that Slurm looks at: a list of { n = line, words = {...} };
-- or nil and why, if there are some that it would not look at
function M.lines(script)
  local out, n, late, open, nr, length = {}, 0, false, nil, 0, 0
  for l in script:gsub("%z", ""):gmatch("([^\n]*)\n?") do
    n = n + 1
    local rest = l:match("^#PMEM(.*)$")
    if rest and not rest:match("^[%s\\]") and rest ~= "" then
      return nil, ("line %d: %s: there must be a space behind #PMEM"):format(n, quote(l))
    end
    if rest and late then return nil, ("line %d: #PMEM lines must come before the first command"):format(n) end
    if rest then
      nr, length = nr + 1, length + #l
      if nr > LINES_MAX then return too_long(n, "too many #PMEM lines", LINES_MAX) end
      if length > TEXT_MAX then return too_long(n, "too many characters in #PMEM lines", TEXT_MAX) end
      local e = open or { n = n, words = {}, length = 0 }
      local more = rest:match("^(.-)\\%s*$")
      local ok, why = add_words(e, more or rest, n)
      if not ok then return nil, why end
      if not open then out[#out + 1] = e end
      open = more and e or nil
    else
      open = nil
      if not l:match("^%s*#") and not l:match("^%s*$") then late = true end
    end
  end
  return out
end

local function among(value, list)
  for _, v in ipairs(list) do if v == value then return true end end
end

local function capacity_of(text)
  local b = M.size(text)
  if not b then return nil, ("%s is not a size: a number and a unit, such as 1.5GiB"):format(quote(text)) end
  if b < 8 * MIB then return nil, ("%s: a pool has at least 8MiB"):format(quote(text)) end
  return math.ceil(b / MIB) * MIB
end

local TAKE = {}

-- memory of each node; per_node is job_submit.lua's: what capacity was before it was multiplied by the nodes
function TAKE.capacity(spec, v)
  if spec.capacity then return nil, "capacity= is given twice" end
  local why
  spec.capacity, why = capacity_of(v)
  return spec.capacity, why
end

function TAKE.per_node(spec, v)
  local why
  spec.per_node, why = capacity_of(v)
  return spec.per_node, why
end

function TAKE.pool(spec, v, conf)
  if v ~= conf.POOL then return nil, ("%s: the pool is called %s"):format(quote("pool=" .. v), conf.POOL) end
  return true
end

local function count_of(v)
  local n = #v <= NUMBER_MAX and tonumber(v) or 0
  if n < 1 or n > TARGETS_MAX then
    return nil, ("%s: must be from 1 to %d memory nodes"):format(quote("targets=" .. v), TARGETS_MAX)
  end
  return n
end

-- so many memory nodes, for this job alone; or those with these cards
function TAKE.targets(spec, v)
  if spec.nr_targets or spec.set.targets then return nil, "targets= is given twice" end
  if v:match("^%d+$") then
    local why
    spec.nr_targets, why = count_of(v)
    return spec.nr_targets, why
  end
  for card in v:gmatch("[^,]+") do
    if card:sub(1, 1) ~= "/" then
      return nil, ("%s: targets is a number of memory nodes, or their card files, with absolute paths"):format(quote(card))
    end
    if #card > PATH_MAX then return nil, ("%s: a path has %d characters at most"):format(quote(card), PATH_MAX) end
  end
  spec.set.targets = v
  return true
end

-- memory of each of these memory nodes
function TAKE.target_size(spec, v)
  if spec.target_size then return nil, "target_size= is given twice" end
  local why
  spec.target_size, why = capacity_of(v)
  return spec.target_size, why
end

-- files of all programs of the job, by patterns of their names, as pmio run --paths
function TAKE.redirect(spec, v)
  if spec.redirect then return nil, "redirect= is given twice" end
  if #v > PATH_MAX then return nil, ("redirect=: %d characters at most"):format(PATH_MAX) end
  for pattern in (v .. ":"):gmatch("([^:]*):") do
    if pattern:sub(1, 1) ~= "/" then
      return nil, ("%s: each pattern of redirect= must begin with a slash"):format(quote(pattern))
    end
  end
  spec.redirect = v
  return true
end

local function take_setting(spec, k, v)
  if not among(v, SETTINGS[k]) then
    return nil, ("%s: %s is one of %s"):format(quote(k .. "=" .. v), k, table.concat(SETTINGS[k], ", "))
  end
  if spec.set[k] then return nil, k .. "= is given twice" end
  spec.set[k] = v
  return true
end

-- stage_in and stage_out, a path each
local function take_stage(spec, verb, words)
  local opts = {}
  for i = 2, #words do
    local k, v = words[i]:match("^([%w_]+)=(.+)$")
    if k == "destination" then
      return nil, ("%s: a file has one name, in PMEM and on the file system: leave destination= out"):format(quote(words[i]))
    end
    if k ~= "source" and k ~= "type" then
      return nil, ("%s does not go with %s, which takes source=, type="):format(quote(words[i]), verb)
    end
    if opts[k] then return nil, k .. "= is given twice" end
    opts[k] = v
  end
  if not opts.source then return nil, verb .. " needs source=" end
  if opts.source:sub(1, 1) ~= "/" then return nil, ("%s must be an absolute path"):format(quote(opts.source)) end
  if #opts.source > PATH_MAX then
    return nil, ("%s: a path has %d characters at most"):format(quote(opts.source), PATH_MAX)
  end
  if opts.type and not among(opts.type, { "file", "directory" }) then
    return nil, ("%s: type is one of file, directory"):format(quote("type=" .. opts.type))
  end
  spec[verb][#spec[verb] + 1] = opts.source
  return true
end

-- create_persistent, use_persistent, destroy_persistent.  Slurm is not to see capacity= in such a line: it is bytes= then.
local function take_persistent(spec, verb, words)
  local opts = {}
  local takes = verb == "create_persistent" and { "name", "capacity", "targets" } or { "name" }
  for i = 2, #words do
    local k, v = words[i]:match("^([%w_]+)=(.+)$")
    if k == "bytes" then k = "capacity" end
    if not k or not among(k, takes) then
      return nil, ("%s does not go with %s, which takes %s="):format(quote(words[i]), verb, table.concat(takes, "=, "))
    end
    if opts[k] then return nil, k .. "= is given twice" end
    opts[k] = v
  end
  if not opts.name then return nil, verb .. " needs name=" end
  if #opts.name > 64 or not opts.name:match("^%w[%w_-]*$") then
    return nil, ("%s: letters, digits, '_' and '-', 64 at most"):format(quote("name=" .. opts.name))
  end
  if verb == "use_persistent" then
    if spec.use then return nil, "use_persistent is given twice: a job uses one buffer" end
    spec.use = opts.name
  elseif verb == "destroy_persistent" then
    spec.destroy[#spec.destroy + 1] = opts.name
  else
    if not opts.capacity then return nil, verb .. " needs capacity=" end
    local bytes, why = capacity_of(opts.capacity)
    local nr = 0
    if bytes and opts.targets then
      if not opts.targets:match("^%d+$") then
        return nil, ("%s is not a number of memory nodes"):format(quote("targets=" .. opts.targets))
      end
      nr, why = count_of(opts.targets)
    end
    if not bytes or not nr then return nil, why end
    spec.create[#spec.create + 1] = { name = opts.name, bytes = bytes, targets = nr }
  end
  return true
end

-- words of one line into spec; nil and why
local function take(spec, words, conf)
  if PERSISTENT[words[1]] then return take_persistent(spec, words[1], words) end
  if VERBS[words[1]] then return take_stage(spec, words[1], words) end
  for _, w in ipairs(words) do
    local k, v = w:match("^([%w_]+)=(.*)$")
    local ok, why
    if k and v == "" then return nil, ("%s has no value"):format(quote(w)) end
    if k and TAKE[k] then ok, why = TAKE[k](spec, v, conf)
    elseif k and SETTINGS[k] then ok, why = take_setting(spec, k, v)
    else why = ("unknown word %s; known are %s"):format(quote(w), KNOWN) end
    if not ok then return nil, why end
  end
  return true
end

-- nil, or why no node has so many bytes
function M.beyond_node(bytes, conf)
  if bytes <= conf.NODE_CAPACITY then return nil end
  return ("%s on each node are requested, but a node has %s"):format(M.show(bytes), M.show(conf.NODE_CAPACITY))
end

-- what only the whole shows
local function look_at_whole(spec, conf)
  local memory = spec.set.targets or spec.nr_targets or spec.use
  if spec.set.drain == "aggregate" and not memory then
    return nil, "drain=aggregate needs memory nodes: targets=NUMBER, targets=CARD,... or use_persistent"
  end
  if spec.use and (spec.set.targets or spec.nr_targets) then
    return nil, "a job uses the memory nodes of a persistent buffer, or those of targets="
  end
  if spec.target_size and not spec.nr_targets then return nil, "target_size= needs targets=NUMBER" end
  if spec.per_node and (not spec.capacity or spec.per_node > spec.capacity) then
    return nil, "per_node= is for job_submit.lua only; capacity= is the size on each node"
  end
  spec.per_node = spec.per_node or spec.capacity
  spec.counted = spec.per_node ~= nil
  if spec.use and not spec.counted then spec.per_node = SMALL end
  if not spec.per_node and not spec.redirect and #spec.create + #spec.destroy == 0 then
    return nil, "the job asks for no memory: #PMEM capacity=SIZE"
  end
  if not spec.per_node and (memory or spec.redirect or #spec.stage_in + #spec.stage_out > 0) then
    return nil, "the job asks for no memory to work with: #PMEM capacity=SIZE, or use_persistent"
  end
  local why = spec.per_node and M.beyond_node(spec.per_node, conf)
  if why then return nil, why end
  return spec
end

-- The script's directives, or false if there is no #PMEM line; or nil and what is wrong.
--   per_node               bytes, or nil; counted: the user has asked for them
--   stage_in, stage_out    paths
--   set                    settings
--   redirect               patterns, or nil
--   nr_targets             memory nodes for this job, or nil; target_size: bytes of each, or nil
--   create                 { name, bytes of all, targets = number or 0 } of each
--   use                    name or nil
--   destroy                names
function M.parse(script, conf)
  local lines, why = M.lines(script)
  if not lines then return nil, why end
  if #lines == 0 then return false end
  local spec = { stage_in = {}, stage_out = {}, set = {}, create = {}, destroy = {} }
  for _, l in ipairs(lines) do
    local ok
    if #l.words > 0 then
      ok, why = take(spec, l.words, conf)
      if not ok then return nil, ("line %d: %s"):format(l.n, why) end
    end
  end
  return look_at_whole(spec, conf)
end

return M
