"""Who may enter a cluster: certificates, token, invites, and what is checked before Ray is asked. See docs/distributed.md."""
