-- job_submit.lua -- looks at #PMEM lines when a job is submitted; see pmio-slurm(7)
--
-- Slurm's own look at a directive with capacity= wants pool= on the same line and knows no decimals, and what it counts is
-- for the whole job: the lines are written anew, without comments, with the pool, all nodes' bytes, and per_node= with
-- what the user wrote.  With GRES= in pmio-slurm.conf the scheduler counts each node's memory as well.
-- A site that has a job_submit.lua calls pmio_submit() from it.
local DIR = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local D = dofile(DIR .. "/pmio_directives.lua")

local function refuse(why)
  slurm.log_user("#PMEM: %s", why)
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
  return (("\n" .. script):gsub("\n#PMEM([^\n]*)", function(l)
    local text = l:gsub("%s#.*$", "")
    if text:match("^%s*create_persistent%s") then
      text = text:gsub("(%s)capacity=", "%1bytes=")
    elseif not text:match("^%s*stage_") then
      text = text:gsub("%sper_node=%S+", ""):gsub("%spool=%S+", ""):gsub("(%s)capacity=[^%s\\]+", "%1" .. words)
    end
    return "\n#PMEM" .. text
  end):sub(2))
end

-- adds to job_desc.tres_per_node
local function add_gres(job_desc, gres, mib)
  local had = job_desc.tres_per_node
  job_desc.tres_per_node = (had and had ~= "" and had .. "," or "") .. ("gres:%s:%d"):format(gres, mib)
end

-- field: script, or burst_buffer for what was given with --bb
local function look_at(job_desc, field)
  local text = job_desc[field]
  if not text or not text:find("#PMEM", 1, true) then return slurm.SUCCESS end
  local conf, why = D.conf(DIR)
  if not conf then return refuse(why) end
  local spec
  spec, why = D.parse(text, conf)
  if spec == nil then return refuse(why) end
  if spec == false then return slurm.SUCCESS end
  local nodes = nodes_of(job_desc)
  if spec.counted and spec.per_node * nodes > conf.CAPACITY then
    return refuse(("%s on each of %d nodes are more than the %s that there are"):format(
      D.show(spec.per_node), nodes, D.show(conf.CAPACITY)))
  end
  job_desc[field] = rewrite(text, spec, conf, nodes)
  if spec.counted and conf.GRES and conf.GRES ~= "" then add_gres(job_desc, conf.GRES, spec.per_node / 1048576) end
  return slurm.SUCCESS
end

function pmio_submit(job_desc)
  local rc = look_at(job_desc, "script")
  if rc ~= slurm.SUCCESS then return rc end
  return look_at(job_desc, "burst_buffer")
end

function slurm_job_submit(job_desc, part_list, submit_uid) return pmio_submit(job_desc) end
function slurm_job_modify(job_desc, job_rec, part_list, modify_uid) return slurm.SUCCESS end
