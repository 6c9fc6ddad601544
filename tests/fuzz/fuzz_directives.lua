-- fuzz_directives.lua -- what fuzz_directives.c does with one input; FOLDER has slurm/'s files and a pmio-slurm.conf
local D = dofile(FOLDER .. "/pmio_directives.lua")
local conf = assert(D.conf(FOLDER))
local MIB = 1048576

local said
slurm = { SUCCESS = 0, ERROR = -1, log_error = function() end }
function slurm.log_user(format, ...) said = format:format(...) end
-- read once: it is the same file at each submission
function D.conf() return conf end
function dofile() return D end
-- its lines are other ones than those of pmio_directives.lua
local file = FOLDER .. "/job_submit.lua"
assert(loadstring(("\n"):rep(1000) .. D.slurp(file), "@" .. file))()

local function message(why)
  assert(type(why) == "string" and why ~= "", "there is no message")
  assert(#why <= 500, "the message is long")
  assert(not why:find("%c"), "the message has control characters")
end
local function whole(n, from, to)
  assert(type(n) == "number" and n == math.floor(n) and n >= from and n <= to, "a number is out of bounds")
end
local function path(p) assert(p:match("^/%S*$") and not p:find("[%c%z]") and #p <= 4095, "it is no path") end
local function name(n) assert(n:match("^%w[%w_-]*$") and #n <= 64, "it is no name") end
local function bytes(n) whole(n, 8 * MIB, 2^53) assert(n % MIB == 0, "no whole MiB") end

-- what slurm_bb_setup hands to pmio-slurm
local function look_at(spec)
  if spec.per_node then
    bytes(spec.per_node)
    assert(spec.per_node <= conf.NODE_CAPACITY, "more than a node has")
  end
  if spec.nr_targets then whole(spec.nr_targets, 1, 4096) end
  if spec.target_size then bytes(spec.target_size) end
  for _, b in ipairs(spec.create) do name(b.name) bytes(b.bytes) whole(b.targets, 0, 4096) end
  if spec.use then name(spec.use) end
  for _, b in ipairs(spec.destroy) do name(b) end
  for _, p in ipairs(spec.stage_in) do path(p) end
  for _, p in ipairs(spec.stage_out) do path(p) end
  for k, v in pairs(spec.set) do
    assert(k:match("^[a-z_]+$"), "it is no setting")
    if k == "targets" then
      for card in v:gmatch("[^,]+") do path(card) end
    else
      assert(v:match("^[a-z]+$"), "it is no value of a setting")
    end
  end
end

local function same(a, b)
  for _, k in ipairs({ "per_node", "counted", "nr_targets", "target_size", "use" }) do assert(a[k] == b[k], "not the same " .. k) end
  for _, k in ipairs({ "stage_in", "stage_out", "destroy", "create" }) do assert(#a[k] == #b[k], "not the same " .. k) end
  for _, k in ipairs({ "stage_in", "stage_out", "destroy" }) do assert(table.concat(a[k], " ") == table.concat(b[k], " "), "not the same " .. k) end
  for i, c in ipairs(a.create) do
    local d = b.create[i]
    assert(c.name == d.name and c.bytes == d.bytes and c.targets == d.targets, "not the same buffer")
  end
  for k, v in pairs(a.set) do assert(b.set[k] == v, "not the same setting") end
end

return function(text)
  -- half of all inputs are lines of directives, the others a script as it is
  local script = text
  if text:byte(1) and text:byte(1) % 2 == 0 then script = "#!/bin/sh\n#PMEM " .. text:sub(2) .. "\n" end
  local b = D.size(text)
  if b then whole(b, 0, 2^53) end

  local spec, why = D.parse(script, conf)
  if spec then look_at(spec) elseif spec == nil then message(why) end

  -- the same words, and none for Slurm that were not there, when it has written the lines anew
  script = script:gsub("%z", "")
  local job = { min_nodes = 1 + #text % 2, script = script, spank_job_env = { [0] = "PMIO_CAPACITY=" .. text:gsub("%z", "") } }
  said = nil
  if slurm_job_submit(job) == slurm.SUCCESS then
    assert(said == nil, "it takes what it complains of")
    if spec then
      local again
      again, why = D.parse(job.script, conf)
      assert(again, why)
      same(spec, again)
    end
    assert(not job.tres_per_node or job.tres_per_node:match("^gres:pmem:%d+$"), "tres_per_node")
  else
    message(said)
  end
end
