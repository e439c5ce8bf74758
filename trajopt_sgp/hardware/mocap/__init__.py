"""Motion capture: where its frame lies in the robot's, and keypoints from markers that may be lost or exchanged."""

from trajopt_sgp.hardware.mocap.keypoints import KeypointState as KeypointState
from trajopt_sgp.hardware.mocap.keypoints import box_pose as box_pose
from trajopt_sgp.hardware.mocap.keypoints import corners_and_centre as corners_and_centre
from trajopt_sgp.hardware.mocap.keypoints import recent_points as recent_points
from trajopt_sgp.hardware.mocap.keypoints import take_frame as take_frame
from trajopt_sgp.hardware.mocap.registration import apply as apply
from trajopt_sgp.hardware.mocap.registration import explain_residual as explain_residual
from trajopt_sgp.hardware.mocap.registration import fit_planar as fit_planar
from trajopt_sgp.hardware.mocap.registration import fit_rigid as fit_rigid
from trajopt_sgp.hardware.mocap.registration import motion_of as motion_of
from trajopt_sgp.hardware.mocap.registration import pose_of as pose_of
