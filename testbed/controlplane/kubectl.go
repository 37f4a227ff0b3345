package main

import cmdutil "k8s.io/kubectl/pkg/cmd/util"

// kubectlError prints as kubectl does and exits with its code (that of the remote command for `kubectl exec`).
func kubectlError(err error) { cmdutil.CheckErr(err) }
