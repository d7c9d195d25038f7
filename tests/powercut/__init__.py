"""Power cuts by the thousand, in process: camera, dock and office over disks that forget, on simulated time."""
