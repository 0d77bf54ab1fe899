-- The client side of OSMO: pai's own client, and upstream's CLI where somebody wants it.
return {
  api = 1,
  name = "osmo-cli",
  title = "OSMO's client",
  summary = "Client, login, service and pools of OSMO; what the commands are called.",
  tags = { "osmo" },
  reference = [[
What it is      `pai osmo` speaks OSMO's REST contract itself. Upstream's `osmo` is not needed; with
                cli=osmo its absence or age is red, else yellow.
Login           pai osmo login URL --method dev|token. It is kept where OSMO's own CLI keeps it
                (~/.config/osmo/login.yaml, 0600), so that both share it. Tokens come from a file.
Versions        client and service agree in major and minor; 6.3 charts and later are known.
Pools           Effective GPUs are the smaller of quota_free and total_free. With no quota and free
                GPUs, priority LOW runs preemptibly.
Submit          pai osmo submit FILE --pool P; the workflow's id is `name` of the answer.
Watch           pai osmo query ID, every 10 to 60 s. Terminal: COMPLETED and every FAILED_*.
Diagnose        pai osmo events ID; pai osmo logs ID --task T; pai k8s diagnose -n osmo-workflows.
Data            osmo data list|download|upload URI. MinIO's own files on the node are never read.
Credentials     Registry: payload registry=nvcr.io username=$oauthtoken auth=KEY, the raw key, not
                base64. Data: access_key_id, access_key, endpoint, region, override_url,
                addressing_style. Values come from files, never from arguments. In a task the name
                has to be exact: nvcr_io is not nvcr-io.
Config          In ConfigMap mode `osmo config` answers 409: change helm values instead, and read
                the ConfigMap osmo-service-configs.
Sizes           When validation refuses: memory and storage floor(0.9 x cap) from 50 up, else cap-2;
                CPU the same from 30 up. GPUs are never derived from what there is.
Retries         At most three corrected submits, then ask.
deploy          There is none: pai's client needs no installation, and upstream's installer is a
                script from the network that pai does not run.
teardown        There is none: nothing was installed. pai osmo logout forgets the login.
]],
  inputs = {
    cli = {
      type = "enum",
      values = { "pai", "osmo" },
      default = "pai",
      doc = "osmo: upstream's CLI has to be there as well.",
    },
  },
  needs = { bins = { "osmo" } },
}
