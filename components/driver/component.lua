-- What goes with what, and which gate stands where. It changes nothing.
return {
  api = 1,
  name = "driver",
  title = "Stages and gates of the stack",
  summary = "Selects one option a stage, refuses what can't work, and reads every gate.",
  tags = { "setup" },
  reference = [[
Stage          Options                              Component
1 Kubernetes   microk8s, azure, onprem              cluster-microk8s, cluster-azure, cluster-onprem
2 OSMO         follows stage 1, never asked         osmo-k8s, osmo-azure
3 Inference    nim, nvcf, foundry, none: one        inference-nim-operator, -nvcf, -azure
4 Workload     any OSMO workflow                    its own recipe

Cluster        nim          nvcf   foundry   none
microk8s       with a GPU   yes    no        yes
azure          yes          yes    yes       yes
onprem         with a GPU   yes    no        yes

Order          All preflights first. Kubernetes blocks everything; OSMO and inference go side by
               side; a workload waits for both. The first red gate stops, and the lowest layer is
               mended first: config, then script, then guidance.

Gate           All of this holds
Kubernetes     the API answers; every node Ready; GPUs allocatable on every GPU node, or the
               RuntimeClass nvidia has the handler runc where there is none
OSMO           both releases deployed; every pod Ready; nothing exposed; storage Secrets there; the
               service answers; pool default ONLINE
Inference      every endpoint that the workload names answers 200 on its ready path
Workload       the workflow is COMPLETED, and every task of it

preflight      The selection by itself: combination, capabilities, GPUs, tokens, storage scheme. It
               asks nobody.
verify         The gates above, of what is given: each stage apart.
deploy         There is none: the driver owns no object. `pai deploy` takes the components, in the
               order of the stages; the recipe setup puts them together.
teardown       There is none either: each component takes away what it made.
Not its own    Docker-only workflows. Questions about the logs of a workflow: pai osmo logs.
]],
}
