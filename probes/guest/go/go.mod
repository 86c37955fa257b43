module unidbg/probe

go 1.17
