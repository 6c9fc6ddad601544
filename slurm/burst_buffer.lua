-- burst_buffer.lua -- Slurm's burst_buffer/lua plugin asks here; see pmio-slurm(7)
--
-- SYNC functions run inside slurmctld with its locks held: file input and output only, no commands.  The others run in a
-- child of slurmscriptd and leave the work to the program pmio-slurm.
local DIR = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local D = dofile(DIR .. "/pmio_directives.lua")

local function q(s) return "'" .. tostring(s):gsub("'", "'\\''") .. "'" end

-- Success only if the helper said itself, through the pipe, that its status was 0: when Slurm's time is over this
-- function may go on for some milliseconds after the helper was killed, and must not call that a success.
local function helper(...)
  local conf, why = D.conf(DIR)
  if not conf then return slurm.ERROR, why end
  local a = { "PMIO_SLURM_CONF=" .. q(DIR .. "/pmio-slurm.conf"), q(conf.HELPER) }
  for i = 1, select("#", ...) do a[#a + 1] = q((select(i, ...))) end
  local p = io.popen("{ " .. table.concat(a, " ") .. "; } 2>&1 </dev/null; echo \"rc=$?\"", "r")
  if not p then return slurm.ERROR, "cannot run " .. conf.HELPER end
  local out = p:read("*a") or ""
  p:close()
  local rc = out:match("rc=(%d+)%s*$")
  out = out:gsub("rc=%d+%s*$", ""):gsub("%s+$", "")
  if rc == "0" then return slurm.SUCCESS, out end
  if not rc then out = out .. " (stopped before its end)" end
  return slurm.ERROR, out
end

local function stage(...)
  local rc, why = helper(...)
  if rc == slurm.SUCCESS then return slurm.SUCCESS end
  return slurm.ERROR, why
end

local function spec_of(script)
  local conf, why = D.conf(DIR)
  if not conf then return nil, why end
  local text = D.slurp(script)
  if not text then return nil, "cannot read the job's script" end
  return D.parse(text, conf)
end

function slurm_bb_job_process(script) -- SYNC; the second value reaches the user of sbatch
  local spec, why = spec_of(script)
  if spec == nil then return slurm.ERROR, why end
  return slurm.SUCCESS
end

function slurm_bb_pools() -- SYNC
  local conf, why = D.conf(DIR)
  if not conf then
    slurm.log_error("pmio: %s", why)
    return slurm.ERROR, why
  end
  return slurm.SUCCESS, ('{"pools":[{"id":"%s","quantity":%d,"granularity":1048576}]}'):format(
    conf.POOL, math.floor(conf.CAPACITY / 1048576))
end

function slurm_bb_setup(id, uid, gid, pool, size, script)
  local spec, why = spec_of(script)
  if not spec then return slurm.ERROR, why or "no #PMEM line" end
  local a = {}
  if spec.per_node then a[#a + 1] = ("capacity %d"):format(spec.per_node) end
  if spec.nr_targets then
    a[#a + 1] = ("targets %d %d"):format(spec.nr_targets, spec.target_size or spec.per_node)
  end
  for _, b in ipairs(spec.create) do a[#a + 1] = ("create %s %d %d"):format(b.name, b.bytes, b.targets) end
  if spec.use then a[#a + 1] = "use " .. spec.use end
  for _, b in ipairs(spec.destroy) do a[#a + 1] = "destroy " .. b end
  for _, p in ipairs(spec.stage_in) do a[#a + 1] = "stage_in " .. p end
  for _, p in ipairs(spec.stage_out) do a[#a + 1] = "stage_out " .. p end
  if spec.redirect then a[#a + 1] = "redirect " .. spec.redirect end
  for k, v in pairs(spec.set) do a[#a + 1] = "set " .. k .. " " .. v end
  return stage("setup", id, uid, gid, unpack(a))
end

function slurm_bb_data_in(id, script) return stage("data_in", id) end
-- Slurm 24.11 wants these two, for stages that go on after their function has returned: ours do not
function slurm_bb_test_data_in(id, script) return slurm.SUCCESS end
function slurm_bb_test_data_out(id, script) return slurm.SUCCESS end
function slurm_bb_real_size(id) return slurm.SUCCESS end

function slurm_bb_paths(id, script, path_file) -- SYNC
  local conf, why = D.conf(DIR)
  local text = conf and D.slurp(conf.STATE .. "/job." .. id .. "/environment")
  local f = text and io.open(path_file, "w")
  if not f then
    slurm.log_error("pmio: job %s: %s", tostring(id), why or "its environment cannot be handed on")
    return slurm.ERROR, why or "the job's state is not there"
  end
  f:write(text)
  f:close()
  return slurm.SUCCESS
end

function slurm_bb_pre_run(id, script) return stage("pre_run", id) end
function slurm_bb_post_run(id, script) return stage("post_run", id) end
function slurm_bb_data_out(id, script) return stage("data_out", id) end
function slurm_bb_job_teardown(id, script, hurry) return stage("teardown", id, hurry) end

-- From 23.02 on the user and group that ask stand before what they ask for; SLURM_BB_BUSY came with that.
function slurm_bb_get_status(...)
  local rc, out = helper("status", select(slurm.SLURM_BB_BUSY and 3 or 1, ...))
  return rc, out .. "\n"
end
