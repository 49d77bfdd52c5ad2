//go:build !race

package ibt_test

const raceDetector = false
