module ibt

go 1.19
