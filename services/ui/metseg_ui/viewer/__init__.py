"""The slice viewer: study, planes, drawing and captions."""
