//go:build race

package ibt_test

// The race detector is on. Its own memory grows with the calls.
const raceDetector = true
