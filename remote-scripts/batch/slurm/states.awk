# Turns lines of Slurm's (ID NAME STATE START END HOST REASON EXIT, 0x1F between) into rows of the contract's list.
# Variables: prefix (what our jobs' names begin with), ids (blank separated: jobs to show whatever their name), only (1: only those),
# pods (the directory of the pods).
BEGIN {
    FS = OFS = "\037"
    n = split("PENDING CONFIGURING REQUEUED REQUEUE_FED", list, " ")
    for (i = 1; i <= n; i++) states[list[i]] = "pending"
    n = split("RESV_DEL_HOLD REQUEUE_HOLD SPECIAL_EXIT", list, " ")
    for (i = 1; i <= n; i++) states[list[i]] = "held"
    n = split("RUNNING SIGNALING RESIZING", list, " ")
    for (i = 1; i <= n; i++) states[list[i]] = "running"
    states["SUSPENDED"] = states["STOPPED"] = "suspended"
    states["COMPLETING"] = states["STAGE_OUT"] = "completing"
    states["COMPLETED"] = "completed"
    states["FAILED"] = states["LAUNCH_FAILED"] = states["RECONFIG_FAIL"] = "failed"
    states["TIMEOUT"] = "timeout"
    states["OUT_OF_MEMORY"] = "out_of_memory"
    states["NODE_FAIL"] = states["BOOT_FAIL"] = "node_fail"
    states["PREEMPTED"] = "preempted"
    states["CANCELLED"] = states["REVOKED"] = "cancelled"
    states["DEADLINE"] = "deadline"
    n = split(ids, list, " ")
    for (i = 1; i <= n; i++) wanted[list[i]] = 1
}
function time(text) { return text ~ /^[0-9]+$/ && text > 0 ? text : "-" }
function known(text) { return text == "" || text == "(null)" || text == "n/a" || text == "N/A" || text == "None" || text == "None assigned" ? "-" : text }
function waits_for(reason) {
    if (reason ~ /^(PartitionTimeLimit|PartitionNodeLimit|BadConstraints|AccountNotAllowed|QOSNotAllowed|InvalidAccount|InvalidQOS|AssocMaxWallDurationPerJobLimit|QOSMaxWallDurationPerJobLimit|(QOSMax|AssocMax)[A-Za-z]*PerJob(Limit)?|QOSMin.*)$/) return "limit"
    if (reason ~ /^(QOSGrp|QOSMax|QOSMin|AssocGrp|AssocMax|QOSUsage|QOSJob|AssociationJob|Assoc|QOSResource)/) return "quota"
    if (reason ~ /^(Resources|Priority|ReqNodeNotAvail|PartitionDown|PartitionInactive|NodeDown|Reservation|Licenses|FrontEndDown|BurstBuffer|Cleaning|Prolog)/) return "resources"
    if (reason ~ /^(JobHeld|JobHoldMaxRequeue|BeginTime|launch_failed_requeued_held|job_requeued_in_held_state)/ || reason ~ /held/) return "held"
    if (reason ~ /^(Dependency|DependencyNeverSatisfied|JobArrayTaskLimit)/) return "dependency"
    return known(reason) == "-" ? "-" : "other"
}
# starved(UID): Slurm says in the pod's supervisor.log that its job had too much memory.
function starved(uid,    file, said, line) {
    if (pods == "" || uid !~ /^[A-Za-z0-9][A-Za-z0-9._-]*$/) return 0
    file = pods "/" uid "/supervisor.log"
    while ((getline line < file) > 0) if (line ~ /slurm.*(xceeded (job )?memory limit|oom.kill)/) said = 1
    close(file)
    return said
}
NF >= 7 && $1 ~ /^[0-9]+$/ {
    ours = index($2, prefix) == 1
    if (!($1 in wanted) && !(ours && !only)) next
    uid = ours ? substr($2, length(prefix) + 1) : "-"
    native = $3
    sub(/ .*/, "", native)
    sub(/\+$/, "", native)
    state = native in states ? states[native] : "unknown"
    reason = "-"
    start = time($4)
    end = time($5)
    if (state == "pending") {
        reason = waits_for($7)
        end = "-"
        # (A start is what Slurm expects.)
        if (reason == "held") { state = "held"; start = "-" }
    }
    if (state ~ /^(running|suspended|completing)$/) end = "-"
    code = signal = "-"
    if ($8 ~ /^[0-9]+:[0-9]+$/ && state !~ /^(pending|held|running|suspended|completing)$/) {
        code = signal = $8
        sub(/:.*/, "", code)
        sub(/.*:/, "", signal)
        if (signal == 0) signal = "-"
    }
    # Where Slurm itself counts memory, it kills the job with all in it and calls that a failure: only its words tell.
    if (state ~ /^(failed|cancelled)$/ && starved(uid)) state = "out_of_memory"
    # (As for any process that the kernel kills; Slurm's own code for this is 0:125.)
    if (state == "out_of_memory") { code = 137; signal = 9 }
    text = $3
    if (known($7) != "-") text = text " " $7
    gsub(/[\001-\036\177]/, " ", text)
    print "job", uid, $1, state, start, end, code, signal, known($6), reason, text
}
