def write(workdir):
  return workdir / 'report.html'
