-- job_submit.lua -- looks at #PMEM lines when a job is submitted; see pmio-slurm(7)
--
-- Slurm's own look at a directive with capacity= wants pool= on the same line and knows no decimals, and what it counts is
-- for the whole job: the lines are written anew, without comments, with the pool, all nodes' bytes, and per_node= with
-- what the user wrote.  With GRES= in pmio-slurm.conf the scheduler counts each node's memory as well.
-- A site that has a job_submit.lua calls pmio_submit() from it.
local DIR = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local D = dofile(DIR .. "/pmio_directives.lua")

local function refuse(why)
  slurm.log_user("%s%s", why:match("^%-%-pmem") and "" or "#PMEM: ", why)
  return slurm.ERROR
end

local function nodes_of(job_desc)
  local n = job_desc.min_nodes
  if not n or n < 1 or n >= 4294967294 then n = 1 end
  return n
end

-- the lines as Slurm is to see them
local function rewrite(script, spec, conf, nodes)
  local words = ""
  if spec.counted then
    local mib = spec.per_node / 1048576
    words = ("pool=%s capacity=%dM per_node=%dM"):format(conf.POOL, mib * nodes, mib)
  end
  local verb -- of a line that goes on in the next; "" if it has no word yet
  return (("\n" .. script):gsub("\n([^\n]*)", function(l)
    local text = l:match("^#PMEM(.*)$")
    if not text then
      verb = nil
      return nil
    end
    local more = text:match("^(.-)\\%s*$")
    text = (more or text):gsub("%s#.*$", "")
    if not verb or verb == "" then verb = text:match("[^%s=]+") or "" end
    if verb == "create_persistent" then
      text = text:gsub("(%s)capacity=", "%1bytes=")
    elseif not verb:match("^stage_") then
      text = text:gsub("%sper_node=%S+", ""):gsub("%spool=%S+", ""):gsub("(%s)capacity=%S+", "%1" .. words)
    end
    if not more then verb = nil end
    return "\n#PMEM" .. text .. (more and " \\" or "")
  end):sub(2))
end

-- Slurm 22.05 takes gres:NAME:N alone, 24.11 gres/NAME:N alone, and neither says its version.  As in what sbatch has put
-- there; else a name tells them apart that came with 24.05.
local function gres_mark(had)
  return had and had:match("gres([:/])") or slurm.STEPMGR_ENABLED and "/" or ":"
end

-- adds to job_desc.tres_per_node
local function add_gres(job_desc, conf, bytes)
  if not conf.GRES or conf.GRES == "" then return end
  local had = job_desc.tres_per_node
  job_desc.tres_per_node = (had and had ~= "" and had .. "," or "") .. ("gres%s%s:%d"):format(gres_mark(had), conf.GRES, bytes / 1048576)
end

-- nil, or why so much on each node cannot be had
local function lacks(bytes, nodes, conf)
  if bytes * nodes <= conf.CAPACITY then return nil end
  return ("%s on each of %d nodes exceed the total of %s"):format(D.show(bytes), nodes, D.show(conf.CAPACITY))
end

-- field: script, or burst_buffer for what was given with --bb; also returns whether there are #PMEM lines
local function look_at(job_desc, field)
  local text = job_desc[field]
  if not text or not text:find("#PMEM", 1, true) then return slurm.SUCCESS, false end
  local conf, why = D.conf(DIR)
  if not conf then return refuse(why) end
  local spec
  spec, why = D.parse(text, conf)
  if spec == nil then return refuse(why) end
  if spec == false then return slurm.SUCCESS, false end
  local nodes = nodes_of(job_desc)
  why = spec.counted and lacks(spec.per_node, nodes, conf)
  if why then return refuse(why) end
  job_desc[field] = rewrite(text, spec, conf, nodes)
  if spec.counted then add_gres(job_desc, conf, spec.per_node) end
  return slurm.SUCCESS, true
end

-- What spank_pmem.c says for --pmem=.  It comes from the user's process, which may say anything.
local function look_at_spank(job_desc)
  local bytes
  for _, line in pairs(job_desc.spank_job_env or {}) do
    local v = line:match("^PMIO_CAPACITY=(.*)$")
    if v then
      if bytes then return refuse("--pmem is given twice") end
      if #v > 16 or not v:match("^[1-9]%d*$") then return refuse(("--pmem: %s is not a number of bytes"):format(D.quote(v))) end
      bytes = tonumber(v)
    end
  end
  if not bytes then return slurm.SUCCESS end
  local conf, why = D.conf(DIR)
  if not conf then return refuse(why) end
  why = D.beyond_node(bytes, conf) or lacks(bytes, nodes_of(job_desc), conf)
  if why then return refuse("--pmem: " .. why) end
  add_gres(job_desc, conf, math.ceil(bytes / 1048576) * 1048576)
  return slurm.SUCCESS
end

function pmio_submit(job_desc)
  local rc, here, there
  rc, here = look_at(job_desc, "script")
  if rc ~= slurm.SUCCESS then return rc end
  rc, there = look_at(job_desc, "burst_buffer")
  if rc ~= slurm.SUCCESS or here or there then return rc end -- with #PMEM lines nobody looks at --pmem
  return look_at_spank(job_desc)
end

function slurm_job_submit(job_desc, part_list, submit_uid) return pmio_submit(job_desc) end
function slurm_job_modify(job_desc, job_rec, part_list, modify_uid) return slurm.SUCCESS end
