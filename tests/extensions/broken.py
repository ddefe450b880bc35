raise RuntimeError("this extension is broken")
